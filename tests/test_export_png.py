import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from prostate_seg.errors import GeometryError, OutputError
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.writing.contact_sheet import chosen_slices, contact_sheet, write_png
from prostate_seg.writing.view import view_of

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
MARGIN = 4  # around and between slices
CAPTION = 20


def scene(shape, affine, *, orientation="assumed"):
    """A gray image and an empty mask on its grid."""
    gray = np.full(shape, 40, np.uint8)
    return Volume(gray, affine, orientation), np.zeros(shape, np.uint8)


def yellow(picture):
    pixels = np.asarray(picture).astype(int)
    return (pixels[..., 0] > 200) & (pixels[..., 1] > 170) & (pixels[..., 2] < 60)


def first_tile(sheet, width, height):
    return np.asarray(sheet)[MARGIN : MARGIN + height, MARGIN : MARGIN + width]


def test_the_contour_runs_half_a_voxel_outside_the_outer_voxel_centres():
    # 28 x 28 voxels on 280 pixels: 10 pixels a voxel. Voxels 8 to 19 along i, 5 to 10 along j.
    volume, labels = scene((28, 28, 1), LPS)
    labels[8:20, 5:11] = 1
    tile = first_tile(contact_sheet(volume, Segmentation(labels, LPS)), 280, 280)
    rows, columns = np.nonzero(yellow(tile))
    assert abs(columns.min() - 80) <= 1  # the left edge of voxel 8
    assert abs(columns.max() - 200) <= 1  # the right edge of voxel 19
    assert abs(rows.min() - 50) <= 1
    assert abs(rows.max() - 110) <= 1
    assert not yellow(tile)[60:100, 90:190].any()  # the gland itself stays visible


def test_a_mask_that_touches_the_border_has_a_closed_contour():
    volume, labels = scene((28, 28, 1), LPS)
    labels[:] = 1
    tile = first_tile(contact_sheet(volume, Segmentation(labels, LPS)), 280, 280)
    shown = yellow(tile)
    assert shown[9:-9, :2].any(axis=1).all()
    assert shown[9:-9, -2:].any(axis=1).all()


def test_a_slice_has_the_aspect_of_its_millimetres():
    # 40 x 20 voxels of 0.5 x 2 mm: 20 mm across and 40 mm down, so 140 x 280 pixels.
    volume, _ = scene((40, 20, 1), np.diag([-0.5, -2.0, 5.0, 1.0]))
    assert contact_sheet(volume).size == (140 + 2 * MARGIN, 280 + CAPTION + 2 * MARGIN)


def test_the_bar_is_10_mm_long():
    volume, _ = scene((28, 28, 1), LPS)  # 28 mm on 280 pixels
    caption = np.asarray(contact_sheet(volume))[MARGIN + 280 + CAPTION // 2, :, 0]
    runs = np.flatnonzero(caption > 200)
    longest = max(np.split(runs, np.flatnonzero(np.diff(runs) > 1) + 1), key=len)
    assert abs(len(longest) - 100) <= 1


def corner_scene(affine, orientation):
    """A white patch where the patient's right, anterior and inferior corner is, on a (P, L, S) grid."""
    gray = np.full((30, 40, 3), 40, np.uint8)
    gray[:10, :10, 0] = 255  # low i: anterior; low j: right; low k: inferior
    return Volume(gray, affine, orientation)


def bright_corner(sheet, width, height):
    tile = np.asarray(sheet.convert("L"))[MARGIN : MARGIN + height, MARGIN : MARGIN + width].astype(float)
    halves = {
        "upper left": tile[: height // 4, : width // 5].mean(),
        "lower left": tile[-height // 4 :, : width // 5].mean(),
        "upper right": tile[: height // 4, -width // 5 :].mean(),
    }
    return max(halves, key=halves.get)


def test_right_anterior_is_the_upper_left_however_the_array_lies():
    posterior_left_superior = np.array([[0, -1.0, 0, 0], [-1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    volume = corner_scene(posterior_left_superior, "file")
    expected = contact_sheet(volume)
    assert bright_corner(expected, 280, 210) == "upper left"  # 40 mm across, 30 mm down
    # the same patient, stored with two axes the other way round
    turned = posterior_left_superior.copy()
    turned[:3, 1] *= -1
    turned[:3, 3] -= turned[:3, 1] * 39
    other = Volume(volume.array[:, ::-1], turned)
    assert np.array_equal(np.asarray(contact_sheet(other)), np.asarray(expected))


def test_a_slightly_oblique_grid_is_shown_along_its_nearest_axes():
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (15, -10, 20), degrees=True).as_matrix()
    posterior_left_superior = np.array([[0, -1.0, 0, 0], [-1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    sheet = contact_sheet(corner_scene(turn @ posterior_left_superior, "file"))
    assert bright_corner(sheet, 280, 210) == "upper left"


def test_an_assumed_orientation_shows_i_to_the_right_and_names_no_side():
    known, assumed = (corner_scene(LPS, orientation) for orientation in ("file", "assumed"))
    with_letters, without = (np.asarray(contact_sheet(volume)) for volume in (known, assumed))
    assert with_letters.shape == without.shape
    assert (with_letters != without).any()  # the letters R and A, nothing else: both grids run to L and P
    assert (with_letters != without).any(axis=2).mean() < 0.01


def test_the_number_is_the_slices_place_in_the_file_also_where_base_comes_first():
    superior_first = np.diag([-1.0, -1.0, -1.0, 1.0])
    volume = Volume(np.zeros((4, 4, 9), np.uint8), superior_first)
    view = view_of(volume)
    assert view.numbers == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert view.letters == ("R", "A")


@pytest.mark.parametrize(
    ("occupied", "count", "expected"),
    [
        ([3, 4, 5], 20, [2, 3, 4, 5, 6]),  # one beyond each end
        ([0, 9], 20, list(range(10))),  # the image ends there
        ([], 20, list(range(10))),
        ([1, 2, 3, 4, 5, 6, 7, 8], 4, [0, 3, 6, 9]),
        ([4], 1, [3]),
    ],
)
def test_slices_cover_the_gland_and_one_beyond_each_end(occupied, count, expected):
    filled = np.zeros(10, bool)
    filled[occupied] = True
    assert chosen_slices(filled, count) == expected


def test_a_gland_in_300_slices_is_shown_in_20():
    volume, labels = scene((10, 10, 300), LPS)
    labels[4:6, 4:6, 20:280] = 1
    sheet = contact_sheet(volume, Segmentation(labels, LPS))
    assert sheet.size == (5 * (280 + MARGIN) + MARGIN, 4 * (280 + CAPTION + MARGIN) + MARGIN)


def test_margins_that_are_black_in_every_slice_are_cut_off():
    gray = np.zeros((100, 60, 2), np.uint8)
    gray[10:50, 20:40] = 90  # 40 x 20 voxels
    assert contact_sheet(Volume(gray, LPS)).size[1] == 140 + CAPTION + 2 * MARGIN


@pytest.mark.parametrize("value", [0, 7])
def test_all_black_and_constant_floating_point_images_are_drawn(tmp_path, value):
    volume = Volume(np.full((6, 5, 2), value, np.float32), LPS)
    write_png(tmp_path / "a.png", volume, Segmentation(np.zeros((6, 5, 2), np.uint8), LPS))
    assert Image.open(tmp_path / "a.png").mode == "RGB"


def test_one_voxel_and_a_needle_of_voxels_are_drawn():
    assert contact_sheet(Volume(np.ones((1, 1, 1), np.uint8), LPS)).size[0] == 288
    assert contact_sheet(Volume(np.ones((500, 1, 1), np.uint8), LPS)).size[0] == 288


def test_another_grid_an_empty_image_and_no_slices_are_refused():
    volume, labels = scene((4, 4, 4), LPS)
    with pytest.raises(GeometryError, match=r"shape \(4, 4, 3\)\) is not on the image's grid"):
        contact_sheet(volume, Segmentation(labels[..., :3], LPS))
    with pytest.raises(OutputError, match="at least one slice and one voxel"):
        contact_sheet(Volume(np.zeros((0, 4, 4), np.uint8), LPS))
    with pytest.raises(OutputError, match="got 0 slices"):
        contact_sheet(volume, slices=0)


@pytest.mark.realdata
@pytest.mark.skipif("PROSTATE_SEG_DATA" not in os.environ, reason="PROSTATE_SEG_DATA is not set")
def test_a_real_case_shows_the_probe_below_and_the_gland():
    folder = Path(os.environ["PROSTATE_SEG_DATA"]) / "trus27"
    image = nibabel.load(folder / "images" / "case05.nii.gz")
    mask = nibabel.load(folder / "labels" / "case05.nii.gz")
    volume = Volume(np.asarray(image.dataobj), image.affine)
    sheet = contact_sheet(volume, Segmentation(np.asarray(mask.dataobj).astype(np.uint8), mask.affine))
    assert sheet.size[0] == 5 * (280 + MARGIN) + MARGIN
    tile = first_tile(sheet.convert("L"), 280, 200).astype(float)
    assert tile[100:].mean() > tile[:100].mean()  # the bright near field of the probe is posterior
    assert yellow(sheet).sum() > 1000
