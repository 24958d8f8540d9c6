"""Re-speckled volumes: grays of the source, speckle of a scanner, the same anatomy at the same place."""

import numpy as np
import pytest

from prostate_seg.errors import GeometryError
from prostate_seg.phantom.respeckle import respeckle
from prostate_seg.volume import Segmentation, Volume

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
    turned = Volume(image.array, np.diag([-1.0, 1, 1, 1]) @ np.diag([1.6, 1.6, 1.6, 1]))
    with pytest.raises(GeometryError, match="left, posterior and superior"):
        respeckle(turned, Segmentation(label.labels, turned.affine), 0)
    with pytest.raises(GeometryError, match="on one grid"):
        respeckle(image, Segmentation(label.labels[:-1], label.affine), 0)
