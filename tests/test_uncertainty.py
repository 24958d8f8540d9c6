"""Maps, slices and scores of doubt: numbers that one can check by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from test_shape_prior import SPACING, model, soft_ellipsoid  # noqa: F401 - the fixture

from prostate_seg.assessment.doubt import (
    Doubt,
    Score,
    disagreement,
    doubt_of,
    entropy_bits,
    mutual_information_bits,
    slice_blur_mm,
)
from prostate_seg.assessment.rays import sphere
from prostate_seg.assessment.shape_model import ShapeModel
from prostate_seg.errors import InputError

some_passes = arrays.arrays(np.float32, (3, 2, 4), elements=st.floats(0, 1, width=32))


def test_entropy_is_1_bit_at_one_half_and_0_where_certain():
    assert entropy_bits(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 1, 0], abs=1e-5)
    assert entropy_bits(np.array([0.25])) == pytest.approx([0.8113], abs=1e-4)


def test_passes_that_contradict_each_other_have_1_bit_of_mutual_information_and_equal_ones_none():
    assert mutual_information_bits(np.array([[0.0], [1.0]])) == pytest.approx([1], abs=1e-5)
    assert mutual_information_bits(np.array([[0.3], [0.3]])) == pytest.approx([0], abs=1e-6)


@given(some_passes)
@settings(max_examples=50, deadline=None)
def test_mutual_information_lies_between_0_and_the_entropy_of_the_mean(passes):
    mutual = mutual_information_bits(passes)
    assert (mutual >= 0).all()
    assert (mutual <= entropy_bits(passes.mean(0)) + 1e-5).all()


def test_disagreement_is_1_minus_the_mean_dice_of_all_pairs():
    """Masks of 2, 2 and 1 pixels: Dice 0.5, 2/3 and 0, so 1 - 7/18."""
    passes = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0]], float)
    assert disagreement(passes) == pytest.approx(1 - 7 / 18)
    assert disagreement(passes[:1]) == 0
    assert disagreement(np.zeros((2, 4))) == 0


@given(some_passes)
@settings(max_examples=50, deadline=None)
def test_disagreement_does_not_depend_on_the_order_of_passes(passes):
    assert disagreement(passes) == pytest.approx(disagreement(passes[::-1]))


def test_a_ramp_of_10_mm_around_a_circle_is_7_2_mm_wide_whatever_its_radius():
    for radius in (15, 25):
        offsets = (np.moveaxis(np.indices((120, 120, 2)), 0, -1) - 59.5)[..., :2] * 0.6
        field = np.clip(0.5 - (np.linalg.norm(offsets, axis=-1) - radius) / 10, 0, 1)
        assert slice_blur_mm(field, (0.6, 0.6, 5.0)) == pytest.approx([7.2, 7.2], rel=0.03)
    assert slice_blur_mm(np.zeros((4, 4, 1)), SPACING) == [None]


def test_a_ball_whose_passes_differ_by_2_mm_has_a_spread_of_1_mm(model):  # noqa: F811
    passes = np.stack([soft_ellipsoid((r,) * 3) for r in (19.0, 21.0)])
    doubt = doubt_of(passes.mean(0), passes, spacing_mm=SPACING, model=model)
    assert doubt.spread_mm == pytest.approx(1, abs=0.05)
    assert doubt.disagreement == pytest.approx(1 - 2 * 19**3 / (19**3 + 21**3), abs=0.01)
    assert doubt.cut == 0
    assert doubt.residual_mm < 0.5


def test_a_gland_that_is_two_deviations_longer_than_the_mean_is_told_so():
    """One mode, elongation: at two standard deviations a ball of 20 mm reaches 24 mm at both ends."""
    along = sphere()[:, 2] ** 2 - 1 / 3
    mode = along / np.linalg.norm(along)
    deviation = 0.1 / mode.max()  # a tenth of the radius at the ends
    elongation = ShapeModel(np.ones(642), mode[None], np.array([deviation]), np.array([20.0, 60.0]))
    offsets = (np.moveaxis(np.indices((48, 48, 48)), 0, -1) - 23.5) * 1.5
    distance = np.linalg.norm(offsets, axis=-1)
    for deviations in (0, 2):
        end = (offsets[..., 2] / distance) ** 2 - 1 / 3
        radius = 20 * (1 + deviations * 0.1 * end / along.max())
        field = np.clip(0.5 - (distance - radius) / 2, 0, 1)
        doubt = doubt_of(field, field[None], spacing_mm=(1.5, 1.5, 1.5), model=elongation)
        assert doubt.shape_sd == pytest.approx(deviations, abs=0.05)
        assert doubt.residual_mm < 0.1


def test_an_empty_probability_is_as_doubtful_as_can_be(model):  # noqa: F811
    empty = np.zeros((2, 8, 8, 8))
    doubt = doubt_of(empty[0], empty, spacing_mm=SPACING, model=model)
    assert np.isinf(doubt.spread_mm)
    assert Score(("spread_mm",), (0.0,), (1.0,), (1.0, 0.0), 1, "")(doubt) == 1


def doubts(count, rng):
    return [Doubt(spread, 0.1, 1.0, 3.0, 0.0, 1.0) for spread in rng.uniform(0.2, 2.0, count)]


def test_a_score_grows_with_doubt_and_its_mean_is_the_share_of_wrong_cases():
    rng = np.random.default_rng(0)
    cases = doubts(400, rng)
    wrong = [case.spread_mm + rng.normal(0, 0.4) > 1.3 for case in cases]
    score = Score.fit(cases, wrong, ("spread_mm",), "drawn")
    values = [score(case) for case in cases]
    assert np.mean(values) == pytest.approx(np.mean(wrong), abs=0.01)
    low, high = (score(Doubt(spread, 0.1, 1.0, 3.0, 0.0, 1.0)) for spread in (0.3, 1.9))
    assert low < 0.1
    assert high > 0.8


def test_nothing_of_a_doubt_makes_a_mask_better():
    """Wrong cases have the larger spread and the smaller blur: the blur is left out, whatever a fit makes of it."""
    rng = np.random.default_rng(2)
    cases = [Doubt(s, 0.1, 1.0, 4 - s + rng.uniform(-0.5, 0.5), 0.0, 1.0) for s in rng.uniform(0.2, 2, 200)]
    wrong = [case.blur_mm + rng.normal(0, 0.2) < 2.5 for case in cases]
    score = Score.fit(cases, wrong, ("spread_mm", "blur_mm"), "drawn")
    assert score.names == ("spread_mm",)
    assert score.weights[0] > 0
    alone = Score.fit(cases, wrong, ("blur_mm",), "drawn")
    assert alone.names == ()
    assert alone(cases[0]) == pytest.approx(np.mean(wrong), abs=1e-3)


def test_a_score_is_the_same_after_it_was_written(tmp_path):
    rng = np.random.default_rng(1)
    cases = doubts(20, rng)
    score = Score.fit(cases, [case.spread_mm > 1 for case in cases], ("spread_mm", "blur_mm"), "drawn")
    score.save(tmp_path / "score.json")
    assert Score.load(tmp_path / "score.json")(cases[0]) == pytest.approx(score(cases[0]))
    (tmp_path / "score.json").write_text("{}")
    with pytest.raises(InputError, match="holds no score of doubt"):
        Score.load(tmp_path / "score.json")


def test_a_case_without_a_gland_does_not_spoil_the_score_of_the_others():
    cases = doubts(20, np.random.default_rng(1))
    wrong = [case.spread_mm > 1 for case in cases]
    none = Doubt(np.inf, np.inf, np.inf, np.inf, 0.0, np.inf)
    with_it = Score.fit([*cases, none], [*wrong, True], ("spread_mm",), "")
    assert with_it(cases[0]) == pytest.approx(Score.fit(cases, wrong, ("spread_mm",), "")(cases[0]))
    assert with_it(none) == 1
