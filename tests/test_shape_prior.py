"""Rays and the shape model: radii of balls are known, sure edges stay, blurred ones follow the shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prostate_seg.assessment.rays import cast_rays, sphere, spread
from prostate_seg.assessment.shape_model import FAINT, ShapeModel, blur_mm, certainty, moved_mm
from prostate_seg.errors import InputError, SettingsError

SPACING = (1.5, 1.5, 2.0)
SHAPE = (48, 44, 36)


def soft_ellipsoid(axes_mm, *, edge_mm=2.0, shape=SHAPE, spacing=SPACING, centre=None):
    """A probability that falls from 1 to 0 over about edge_mm around an ellipsoid."""
    middle = (np.array(shape) - 1) / 2 if centre is None else np.array(centre)
    offsets = (np.moveaxis(np.indices(shape), 0, -1) - middle) * np.array(spacing)
    distance = (np.linalg.norm(offsets / np.array(axes_mm), axis=-1) - 1) * np.mean(axes_mm)
    return np.clip(0.5 - distance / edge_mm, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    masks = [(soft_ellipsoid(rng.uniform(16, 26, 3)) >= 0.5, SPACING) for _ in range(20)]
    return ShapeModel.of(masks)


@given(radius=st.floats(10, 25), shift=st.floats(-2, 2))
@settings(max_examples=10, deadline=None)
def test_a_ball_has_its_radius_along_every_ray_wherever_it_lies(radius, shift):
    middle = (np.array(SHAPE) - 1) / 2 + [shift, 0, 0]
    rays = cast_rays(soft_ellipsoid((radius,) * 3, centre=middle), SPACING)
    assert np.abs(rays.radii_mm - radius).max() < 0.6
    assert np.allclose(rays.centre_mm, middle * SPACING, atol=0.2)
    assert rays.inside.all()


def test_a_ball_that_grew_by_2_mm_was_moved_by_2_mm_everywhere_and_an_equal_one_by_none():
    before, after = soft_ellipsoid((18, 18, 18)), soft_ellipsoid((20, 20, 20))
    assert moved_mm(before, after, SPACING) == pytest.approx((2, 2), abs=0.3)
    assert moved_mm(before, before.copy(), SPACING) == (0, 0)
    island = soft_ellipsoid((4, 4, 4), centre=(4, 4, 4))
    assert moved_mm(before + island, after + island, SPACING) == pytest.approx((2, 2), abs=0.3)
    assert moved_mm(np.zeros(SHAPE), np.zeros(SHAPE), SPACING) == (0, 0)


def test_of_two_balls_the_larger_is_seen_and_of_nothing_there_are_no_rays():
    field = soft_ellipsoid((18, 18, 18)) + soft_ellipsoid((4, 4, 4), centre=(3, 3, 3))
    assert np.abs(cast_rays(field, SPACING).radii_mm - 18).max() < 0.6
    assert cast_rays(np.zeros(SHAPE, np.float32), SPACING) is None


def test_where_the_border_cuts_the_gland_rays_are_not_inside():
    """A ball of 20 mm whose centre lies 10 mm from the last slice's edge: a spherical cap of a quarter is cut."""
    rays = cast_rays(soft_ellipsoid((20, 20, 20), shape=(48, 44, 24), centre=(23.5, 21.5, 18.5)), SPACING)
    upward = sphere()[:, 2] > 0.7
    assert not rays.inside[upward].any()
    assert rays.inside[sphere()[:, 2] < 0].all()


def test_the_edge_of_a_step_is_sharp_and_a_ramp_of_20_mm_is_14_4_mm_wide():
    """The entropy of a straight ramp over L mm is 0.72 L bits mm; a sampled step is a ramp of a voxel."""
    sharp = cast_rays(soft_ellipsoid((20, 20, 20), edge_mm=0.1), SPACING)
    wide = cast_rays(soft_ellipsoid((22, 22, 22), edge_mm=20), SPACING)
    assert np.median(blur_mm(sharp)) < 2
    assert np.median(blur_mm(wide)) == pytest.approx(14.4, abs=0.4)
    assert certainty(sharp).min() > 0.8
    assert certainty(wide).max() == 0


def test_values_of_the_rays_come_back_in_their_own_directions():
    values = np.arange(642.0)
    assert np.abs(spread(values, sphere()) - values).max() < 0.5


def test_20_ellipsoids_have_2_modes_beside_their_size_and_are_fitted_to_half_a_millimetre(model):
    assert len(model.modes) == 2
    assert np.allclose(model.modes @ model.modes.T, np.eye(2), atol=1e-6)
    rays = cast_rays(soft_ellipsoid((24, 17, 20)), SPACING)
    fitted, modes = model.fit(rays.radii_mm, np.ones(642))
    assert np.abs(fitted - rays.radii_mm).mean() < 0.5
    assert np.abs(modes).max() <= 3


def test_a_shape_that_is_not_plausible_is_fitted_within_3_deviations(model):
    _, modes = model.fit(cast_rays(soft_ellipsoid((33, 8, 12)), SPACING).radii_mm, np.ones(642))
    assert np.abs(modes).max() == pytest.approx(3)


def test_a_sure_segmentation_is_refined_to_itself_bit_for_bit(model):
    field = soft_ellipsoid((22, 18, 20), edge_mm=1)
    assert model.refine(field, SPACING) is field
    nothing = np.zeros(SHAPE, np.float32)
    assert model.refine(nothing, SPACING) is nothing


def with_apical_bulge(height_mm):
    """A ball of 20 mm with a sharp edge and a blurred bulge on its apical cap, a fifth of all directions."""
    apical = (np.indices(SHAPE)[2] - 17.5) * 2.0 < -12
    ball = soft_ellipsoid((20, 20, 20), edge_mm=1)
    bulge = soft_ellipsoid((20, 20, 20 + height_mm), edge_mm=14)
    return np.where(apical, np.maximum(ball, bulge), ball).astype(np.float32)


def fitted_distance_mm(model, field):
    rays = cast_rays(field, SPACING)
    fitted, _ = model.fit(rays.radii_mm, np.maximum(certainty(rays), FAINT) * rays.inside)
    return np.abs(fitted - rays.radii_mm)[rays.inside].mean()


def test_a_blurred_bulge_of_8_mm_at_the_apex_is_repaired_and_one_of_2_mm_is_plausible(model):
    large, small = with_apical_bulge(8), with_apical_bulge(2)
    assert fitted_distance_mm(model, small) < 0.8 < fitted_distance_mm(model, large)
    assert model.refine(small, SPACING) is small
    apex = [20 - np.flatnonzero((x >= 0.5)[24, 22])[0] * 2.0 for x in (large, model.refine(large, SPACING))]
    assert apex[0] - apex[1] >= 4


def test_directions_in_which_the_image_cuts_the_gland_do_not_make_it_implausible(model):
    """A ball of 20 mm, half of its edge blurred, whose lowest 9 mm lie outside the image."""
    right = np.indices((48, 44, 24))[0] > 23
    balls = [soft_ellipsoid((20, 20, 20), edge_mm=mm, shape=(48, 44, 24), centre=(23.5, 21.5, 5)) for mm in (6, 1)]
    field = np.where(right, *balls).astype(np.float32)
    rays = cast_rays(field, SPACING)
    fitted, _ = model.fit(rays.radii_mm, np.maximum(certainty(rays), FAINT) * rays.inside)
    apart = np.abs(fitted - rays.radii_mm)
    assert apart.mean() > 0.8 > apart[rays.inside].mean()
    assert certainty(rays)[rays.inside].min() < 0.7
    assert model.refine(field, SPACING) is field


def test_a_bulge_of_10_mm_with_a_blurred_edge_is_taken_back_and_the_sure_side_stays(model):
    truth = soft_ellipsoid((20, 20, 20), edge_mm=1)
    above = (np.indices(SHAPE)[2] - 17.5) * 2.0 > 12
    bulge = soft_ellipsoid((20, 20, 30), edge_mm=14)
    field = np.where(above, np.maximum(truth, bulge), truth).astype(np.float32)
    refined = model.refine(field, SPACING)
    height = [np.flatnonzero((x >= 0.5)[24, 22])[-1] * 2.0 for x in (truth, field, refined)]
    assert height[1] - height[0] >= 8
    assert height[2] - height[0] <= 4
    below = np.indices(SHAPE)[2] < 12
    assert np.array_equal(refined[below], field[below])


def test_a_shape_that_contradicts_the_network_by_more_than_4_mm_on_average_moves_nothing(model):
    """Half of the edge is sure and belongs to a ball of 10 mm, the blurred other half to one of 28 mm."""
    right = np.indices(SHAPE)[0] > 23
    far = np.where(right, soft_ellipsoid((28, 28, 28), edge_mm=12), soft_ellipsoid((10, 10, 10), edge_mm=1))
    assert certainty(cast_rays(far, SPACING)).sum() > 12
    assert model.refine(far, SPACING) is far


@pytest.mark.parametrize("slices", [1, 2, 5])
def test_few_slices_keep_their_shape_and_do_not_fail(model, slices):
    field = soft_ellipsoid((20, 20, 20), shape=(48, 44, slices))
    refined = model.refine(field, SPACING)
    assert refined.shape == field.shape
    assert 0.9 < (refined >= 0.5).sum() / (field >= 0.5).sum() < 1.1


def test_where_the_image_shows_nothing_the_boundary_stays(model):
    field = soft_ellipsoid((20, 20, 20), edge_mm=14)
    assert model.refine(field, SPACING, np.zeros(SHAPE, bool)) is field
    refined = model.refine(field, SPACING, np.ones(SHAPE, bool))
    assert np.array_equal(refined, model.refine(field, SPACING))


def test_a_model_is_the_same_after_it_was_written_and_5_masks_are_the_fewest(model, tmp_path):
    model.save(tmp_path / "shape.npz")
    again = ShapeModel.load(tmp_path / "shape.npz")
    assert np.allclose(again.mean, model.mean, atol=1e-6)
    assert again.volumes_ml[0] == pytest.approx(model.volumes_ml[0], rel=1e-6)
    with pytest.raises(SettingsError, match="made of 5 masks or more, got 1"):
        ShapeModel.of([(soft_ellipsoid((20, 20, 20)) > 0.5, SPACING)])
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match=r"text\.npz is no shape model"):
        ShapeModel.load(tmp_path / "text.npz")


def test_where_less_than_a_millimetre_is_seen_beyond_the_boundary_the_image_cuts_the_gland():
    """A ball of 20 mm in an image that shows nothing from 15 mm above its centre on."""
    seen = np.ones(SHAPE, bool)
    seen[:, :, 25:] = False  # 25 to 17.5 are 7.5 slices of 2 mm
    rays = cast_rays(soft_ellipsoid((20, 20, 20)), SPACING, seen=seen)
    upward = sphere()[:, 2]
    assert not rays.inside[upward > 0.75].any()
    assert rays.inside[upward < 0.6].all()


def test_a_damaged_model_is_told_by_name(tmp_path):
    for content in (b"", b"PK\x03\x04 no archive"):
        (tmp_path / "shape.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"shape\.npz is no shape model"):
            ShapeModel.load(tmp_path / "shape.npz")
