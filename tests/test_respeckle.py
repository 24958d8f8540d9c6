"""Re-speckled volumes: grays of the source, speckle of a scanner, the same anatomy at the same place."""

import numpy as np
import pytest
from scipy import ndimage

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.phantom.respeckle import respeckle

AFFINE = np.array([[-1.6, 0, 0, 40], [0, -1.6, 0, -12], [0, 0, 1.6, 7], [0, 0, 0, 1.0]])


def source(shape=(44, 40, 30), gray=120.0):
    """A uniform field of view with a ball of 15 mm radius in its middle, labelled 1."""
    at = np.stack(np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * 1.6 for n in shape], indexing="ij"))
    ball = (at**2).sum(0) < 15**2
    return Volume(np.full(shape, gray, np.float32), AFFINE), Segmentation(ball.astype(np.uint8), AFFINE)


def test_the_ball_keeps_its_14_millilitres_and_its_centre():
    image, label = source()
    found, truth = respeckle(image, label, 0)
    assert truth.volume_ml == pytest.approx(label.volume_ml, rel=0.02)
    centres = [one.affine @ [*(np.argwhere(one.labels).mean(0)), 1] for one in (label, truth)]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.05)
    assert found.array.shape == truth.labels.shape
    assert found.array.dtype == np.uint8


def test_the_ball_in_the_image_lies_within_a_quarter_of_a_millimetre_of_the_ball_in_the_mask():
    image, label = source(shape=(60, 52, 40), gray=60.0)
    bright = image.with_array(np.where(label.labels == 1, np.float32(200), image.array))
    for seed in range(3):
        found, truth = respeckle(bright, label, seed)
        smooth = ndimage.gaussian_filter(found.array.astype(float), [1.5 / step for step in found.spacing_mm])
        inside, outside = (np.median(smooth[truth.labels == value]) for value in (1, 0))
        seen = smooth > (inside + outside) / 2
        near = ndimage.binary_dilation(truth.labels == 1, iterations=4)
        apart = np.argwhere(seen & near).mean(0) - np.argwhere(truth.labels).mean(0)
        assert np.abs(apart * found.spacing_mm).max() < 0.25, seed


def test_the_outer_edges_stay_where_they_were():
    image, label = source()
    found, _ = respeckle(image, label, 3)
    corners = [
        one.affine @ [*(np.array(edge) * one.array.shape - 0.5), 1]
        for one in (image, found)
        for edge in ((0, 0, 0), (1, 1, 1))
    ]
    np.testing.assert_allclose(corners[:2], corners[2:], atol=1e-6)


def test_a_uniform_field_gets_speckle_between_a_twentieth_and_all_of_its_mean():
    image, label = source()
    for seed in range(4):
        inside = respeckle(image, label, seed)[0].array[20:-20, 20:40, 2:-2].astype(float)
        assert 0.05 < inside.std() / inside.mean() < 1


def test_black_stays_black_but_a_hole_in_the_tissue_is_filled():
    image, label = source()
    grays = image.array.copy()
    grays[:12], grays[20:24, 18:22] = 0, 0
    found, _ = respeckle(image.with_array(grays), label, 5)
    left = round(10 / 44 * found.array.shape[0])
    share = found.array[:left] > 0
    assert share.mean() < 0.02  # marks of the screen
    i, j, _ = (np.array(found.array.shape) * 0.47).astype(int)
    assert (found.array[i : i + 5, j : j + 5] > 0).mean() > 0.4


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    image, label = source((30, 30, 12))
    first, again, other = (respeckle(image, label, seed)[0].array for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_axes_that_run_elsewhere_are_refused():
    image, label = source((20, 20, 10))
    turned = Volume(image.array, np.diag([-1.6, 1.6, 1.6, 1]))
    with pytest.raises(GeometryError, match="left, posterior and superior"):
        respeckle(turned, Segmentation(label.labels, turned.affine), 0)
    with pytest.raises(GeometryError, match="on one grid"):
        respeckle(image, Segmentation(label.labels[:-1], label.affine), 0)


def test_a_probe_turned_by_5_degrees_is_taken_as_it_is():
    a = np.radians(5)
    turn = np.array([[np.cos(a), -np.sin(a), 0, 0], [np.sin(a), np.cos(a), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    image, label = source((20, 20, 10))
    found, _ = respeckle(Volume(image.array, turn @ AFFINE), Segmentation(label.labels, turn @ AFFINE), 0)
    np.testing.assert_allclose(found.affine[:3, 0] / found.spacing_mm[0], (turn @ AFFINE)[:3, 0] / 1.6)


@pytest.mark.parametrize(("gray", "got"), [(0.0, "0 to 0"), (1.0, "1 to 1"), (4095.0, "4095 to 4095")])
def test_grays_that_are_no_bytes_are_refused(gray, got):
    image, label = source((20, 20, 10), gray)
    with pytest.raises(InputError, match=f"grays from 0 to 255, got {got}"):
        respeckle(image, label, 0)
