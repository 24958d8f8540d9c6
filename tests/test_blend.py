"""Two files of weights become their weighted mean."""

import pytest
import torch
from blend import blended


def test_seven_tenths_of_3_and_three_tenths_of_1_are_2_4_in_half_precision_and_counts_stay():
    earlier = {"weight": torch.ones(2, 3), "steps": torch.tensor(5)}
    later = {"weight": torch.full((2, 3), 3.0), "steps": torch.tensor(9)}
    found = blended(earlier, later, 0.7)
    assert torch.allclose(found["weight"].float(), torch.full((2, 3), 2.4), atol=1e-3)
    assert found["weight"].dtype == torch.float16
    assert int(found["steps"]) == 9


def test_weights_of_another_network_are_refused():
    with pytest.raises(SystemExit, match="different networks"):
        blended({"weight": torch.ones(2)}, {"weight": torch.ones(3)}, 0.5)
