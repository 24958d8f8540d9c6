from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.geometry.resample import on_grid_of
from prostate_seg.geometry.volume import Segmentation, Volume, affine_from_lps
from prostate_seg.reading.masks import read_mask, read_segments
from prostate_seg.writing import write

OBLIQUE = affine_from_lps(
    Rotation.from_euler("xyz", (15, -20, 30), degrees=True).as_matrix(),
    np.array([0.4, 0.5, 3.0]),
    np.array([5, -9, 40]),
)
SHAPE = (40, 30, 12)


def volume():
    return Volume(np.zeros(SHAPE, np.uint8), OBLIQUE)


def blob(seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, bool)
    mask[8:30, 6:25, 2:10] = rng.random((22, 19, 8)) < 0.4
    return mask


def shifted(affine, start):
    corner = np.eye(4)
    corner[:3, 3] = start
    return affine @ corner


def test_a_mask_cropped_to_its_extent_comes_back_voxel_for_voxel():
    mask = blob()
    found, exact = on_grid_of(volume(), mask[8:30, 6:25, 2:10], shifted(OBLIQUE, (8, 6, 2)), "CTV")
    assert np.array_equal(found, mask)
    assert exact


@settings(max_examples=25, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.integers(0, 99))
def test_a_mask_stored_with_any_order_and_sense_of_axes_comes_back_voxel_for_voxel(order, flips, seed):
    mask = blob(seed)
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for new, old in enumerate(order):
        turn[old, new] = -1 if flips[old] else 1
        turn[old, 3] = SHAPE[old] - 1 if flips[old] else 0
    stored = np.flip(mask, [axis for axis in range(3) if flips[axis]]).transpose(order)
    assert np.array_equal(on_grid_of(volume(), stored, OBLIQUE @ turn, "CTV")[0], mask)


def test_a_ball_drawn_on_a_finer_turned_grid_has_its_volume_within_2_percent_on_the_images():
    fine = affine_from_lps(np.eye(3), np.full(3, 0.5), np.zeros(3))
    index = np.stack(np.meshgrid(*[np.arange(60)] * 3, indexing="ij"), -1)
    ball = ((index - 30) ** 2).sum(-1) <= 20**2  # radius 10 mm around (15, 15, 15) LPS
    centre = np.array([15.0, 15.0, 15.0])
    direction = Rotation.from_euler("z", 25, degrees=True).as_matrix()
    spacing = np.array([0.8, 0.7, 1.0])
    affine = affine_from_lps(direction, spacing, centre - direction @ (spacing * 20))
    image = Volume(np.zeros((41, 41, 41), np.uint8), affine)
    found, exact = on_grid_of(image, ball, fine, "CTV")
    assert not exact
    assert found.sum() * spacing.prod() == pytest.approx(4 / 3 * np.pi * 1000, rel=0.02)
    np.testing.assert_allclose(np.argwhere(found).mean(axis=0), [20, 20, 20], atol=0.1)


def test_a_mask_beside_the_image_is_refused_with_the_share_that_would_be_lost():
    for affine in (shifted(OBLIQUE, (25, 0, 0)), shifted(OBLIQUE, (25.3, 0, 0))):
        with pytest.raises(GeometryError, match=r"% of the segment CTV lies outside the image; give the image"):
            on_grid_of(volume(), blob(), affine, "CTV")


def test_an_empty_mask_is_empty_on_the_images_grid():
    assert not on_grid_of(volume(), np.zeros((3, 3, 3), bool), np.eye(4), "CTV")[0].any()


def test_segments_are_read_by_their_names(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:9, 3:9, 1:4], labels[12:15, 3:9, 1:4] = 1, 4
    write(Segmentation(labels, OBLIQUE, {1: "My gland", 4: "urethra"}), tmp_path / "a.seg.nrrd")
    segments, affine = read_segments(tmp_path / "a.seg.nrrd")
    assert {name: int(mask.sum()) for name, mask in segments.items()} == {
        "My gland": 7 * 6 * 3,
        "urethra": 3 * 6 * 3,
    }
    np.testing.assert_allclose(affine, OBLIQUE, atol=1e-4)


def test_overlapping_segments_in_layers_are_read_each_whole(tmp_path):
    layers = np.zeros((*SHAPE[::-1], 2), np.uint8)  # (K, J, I, layer)
    layers[1:5, 2:8, 3:9, 0], layers[2:3, 4:6, 5:6, 1] = 1, 1
    image = sitk.GetImageFromArray(layers, isVector=True)
    for number, name in enumerate(("CTV", "urethra")):
        keys = {"ID": f"Segment_{number}", "Name": name, "LabelValue": "1", "Layer": str(number)}
        for key, value in keys.items():
            image.SetMetaData(f"Segment{number}_{key}", value)
    sitk.WriteImage(image, str(tmp_path / "layers.seg.nrrd"))
    segments, _ = read_segments(tmp_path / "layers.seg.nrrd")
    assert {name: int(mask.sum()) for name, mask in segments.items()} == {"CTV": 4 * 6 * 6, "urethra": 2}


def test_a_plain_label_map_is_one_segment_named_after_its_file(tmp_path):
    write(Segmentation(blob().astype(np.uint8), OBLIQUE), tmp_path / "drawn by hand.nii.gz")
    assert list(read_segments(tmp_path / "drawn by hand.nii.gz")[0]) == ["drawn by hand"]


def test_two_segments_of_one_name_are_refused(tmp_path):
    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 0, 0], labels[1, 1, 1] = 1, 2
    write(Segmentation(labels, OBLIQUE, {1: "CTV", 2: "CTV"}), tmp_path / "a.seg.nrrd")
    with pytest.raises(InputError, match="two segments named CTV; give one of them another name"):
        read_segments(tmp_path / "a.seg.nrrd")


def test_a_relative_path_is_read_after_the_current_folder_has_changed(tmp_path, monkeypatch):
    write(Segmentation(np.eye(4, dtype=np.uint8)[..., None], np.eye(4)), tmp_path / "a.nii.gz")
    assert read_mask(tmp_path / "a.nii.gz").labels.sum() == 4
    monkeypatch.chdir(tmp_path)
    assert read_mask(Path("a.nii.gz")).labels.sum() == 4
