"""The largest part without holes: MONAI's voxels, found within a box."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.data import MetaTensor
from monai.transforms import FillHoles, KeepLargestConnectedComponent
from scipy import ndimage

from prostate_seg.inference import LargestSolidd
from prostate_seg.inference.released import released_bundle
from prostate_seg.inference.settings import read_settings, settings_digest
from prostate_seg.inference.solid import TOUCHING, largest_solid

masks = st.floats(0, 1).flatmap(
    lambda share: arrays(float, array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.floats(0, 1)).map(
        lambda values: values < share
    )
)


def of_monai(mask):
    kept = KeepLargestConnectedComponent()(torch.as_tensor(mask[None]).float())
    return np.asarray(FillHoles()(kept))[0] > 0


@settings(max_examples=200, deadline=None)
@given(masks)
def test_the_voxels_are_those_of_monais_two_transforms(mask):
    sizes = np.bincount(ndimage.label(mask, TOUCHING)[0].ravel())[1:]
    if sizes.size > 1 and np.sort(sizes)[-1] == np.sort(sizes)[-2]:
        return  # either of the largest parts may be kept
    np.testing.assert_array_equal(largest_solid(mask), of_monai(mask))


def test_a_shell_of_5_voxels_is_filled_to_125_and_a_part_of_8_beside_it_goes():
    mask = np.zeros((20, 9, 9), bool)
    mask[2:7, 2:7, 2:7] = True
    mask[3:6, 3:6, 3:6] = False
    mask[10:12, 3:5, 3:5] = True
    assert mask.sum() == 98 + 8
    solid = largest_solid(mask)
    assert solid.sum() == 125
    assert solid[2:7, 2:7, 2:7].all()
    mask[4, 4, :5] = False  # a channel to the outside is no hole
    assert largest_solid(mask).sum() == 97


@pytest.mark.parametrize("shape", [(2, 4, 3, 2), (1, 4, 3), (4, 3, 2)])
def test_a_mask_of_other_dimensions_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(1, I, J, K\)"):
        LargestSolidd("pred")({"pred": torch.ones(shape)})


def test_a_bundle_with_monais_two_transforms_has_the_same_digest_of_its_settings():
    settings = read_settings(released_bundle())
    before = copy.deepcopy(settings)
    steps = before["postprocessing"]["transforms"]
    at = next(n for n, step in enumerate(steps) if step["_target_"].endswith("LargestSolidd"))
    two = ("KeepLargestConnectedComponentd", "FillHolesd")
    steps[at : at + 1] = [{"_target_": name, "keys": "pred"} for name in two]
    assert settings_digest(settings) == settings_digest(before)
    steps.pop(at)
    assert settings_digest(settings) != settings_digest(before)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_and_a_full_mask_stay_as_they_are_with_their_grid(value):
    affine = torch.diag(torch.tensor([1.0, 2.0, 3.0, 1.0], dtype=torch.float64))
    image = MetaTensor(torch.full((1, 4, 3, 2), value), affine=affine)
    made = LargestSolidd("pred")({"pred": image, "case": "a"})
    assert isinstance(made["pred"], MetaTensor)
    assert torch.equal(made["pred"].affine, affine)
    assert torch.equal(made["pred"].as_tensor(), image.as_tensor())
    assert made["case"] == "a"
