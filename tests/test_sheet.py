"""Places on the page and in the patient."""

from itertools import permutations, product

import numpy as np
import pytest

from prostate_seg.geometry.hints import Contour, Plane, Point, Scribble
from prostate_seg.geometry.volume import Volume
from prostate_seg.serve.sheet import Sheet
from prostate_seg.writing.view import view_of


def volume(order=(0, 1, 2), signs=(1, 1, 1), orientation="file"):
    """11 x 9 x 5 voxels of 1, 2 and 4 mm, black at the border, along the given axes of the patient."""
    array = np.zeros((11, 9, 5), np.uint8)
    array[2:9, 1:8] = np.random.default_rng(0).integers(1, 255, (7, 7, 5))
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * np.array(signs) * (1.0, 2.0, 4.0)
    affine[:3, 3] = (3, -7, 11)
    return Volume(array, affine, orientation)


@pytest.mark.parametrize("orientation", ["file", "assumed"])
def test_in_all_48_orientations_a_place_on_the_page_is_the_voxel_displayed_there(orientation):
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        image = volume(order, signs, orientation)
        view = view_of(image)
        sheet = Sheet.of(image, view)
        index = np.argwhere(view.gray >= 0)
        page = np.c_[(index[:, :2] + 0.5) * view.pixel_mm, index[:, 2]]
        ras = page @ sheet.to_ras[:3, :3].T + sheet.to_ras[:3, 3]
        assert np.allclose(sheet.on_page(ras), page)
        inverse = np.linalg.inv(image.affine)
        voxel = ras @ inverse[:3, :3].T + inverse[:3, 3]
        assert np.allclose(voxel, voxel.round())
        assert (image.array[tuple(voxel.round().astype(int).T)] == view.gray.ravel()).all()


def test_the_left_of_the_page_is_the_patients_right_and_the_last_slice_the_most_superior():
    image = volume(signs=(1, 1, -1))
    sheet = Sheet.of(image, view_of(image))
    left, right = (
        sheet.hint({"type": "point", "side": "inside", "slice": 1, "points": [[x, 1.0]]}).at_mm for x in (0.5, 6.5)
    )
    assert left[0] - right[0] == 6.0
    low, high = (sheet.hint({"type": "plane", "end": end, "slice": 2}).at_mm for end in ("apex", "base"))
    assert high[2] - low[2] == 4.0  # the two faces of a slice of 4 mm
    assert low[2] == 11 - 2 * 4 - 2


def test_what_is_drawn_comes_back_as_its_mark():
    image = volume(order=(2, 0, 1), signs=(1, -1, 1))
    sheet = Sheet.of(image, view_of(image))
    line = [[1.0, 2.0], [3.0, 2.5], [2.0, 4.0]]
    drawn = (
        ({"type": "point", "side": "boundary", "slice": 3, "points": line[:1]}, Point),
        ({"type": "scribble", "side": "outside", "slice": 2, "points": line, "radius_mm": 1.5}, Scribble),
        ({"type": "contour", "slice": 1, "points": line}, Contour),
        ({"type": "contour", "slice": 4, "points": []}, Contour),
        ({"type": "plane", "end": "apex", "slice": 0}, Plane),
        ({"type": "plane", "end": "base", "slice": 3}, Plane),
    )
    for content, kind in drawn:
        hint = sheet.hint(content)
        assert isinstance(hint, kind)
        mark = sheet.mark(hint)
        assert mark.pop("lines") == ([content["points"]] if content.get("points") else [])
        assert mark == {name: value for name, value in content.items() if name != "points"}
