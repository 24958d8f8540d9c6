"""Planimetry: volumes from areas at a step, widths and distances, and the page that a physicist files."""

import numpy as np
import pytest

from prostate_seg.errors import OutputError, SettingsError
from prostate_seg.geometry.planimetry import measure, planimetric_volume_ml, stations_at
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.report.planimetry_page import write_planimetry
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.request import Planning, Request

AFFINE = np.diag([-0.5, -0.5, 1.0, 1.0])  # i to the left, j to the posterior, k to the superior


def cylinder():
    """40 x 30 voxels of 0.5 mm on slices 5 to 24: 20 x 15 mm, 20 mm long, 6 mL."""
    mask = np.zeros((60, 60, 30), bool)
    mask[10:50, 20:50, 5:25] = True
    return mask


def test_a_block_of_20_by_15_by_20_mm_has_6_ml_from_four_areas_of_3_cm2():
    slices = stations_at(cylinder(), AFFINE, 5.0, from_last=True)
    stations = measure(cylinder(), AFFINE, slices, from_last=True)
    assert [one.slice for one in stations] == [24, 19, 14, 9]
    assert [one.from_base_mm for one in stations] == [0, 5, 10, 15]
    assert {(one.area_cm2, one.width_mm, one.height_mm) for one in stations} == {(3.0, 20.0, 15.0)}
    assert planimetric_volume_ml(stations, 5.0) == pytest.approx(6.0)


def test_without_a_base_the_stations_begin_at_the_first_slice():
    slices = stations_at(cylinder(), AFFINE, 5.0, from_last=False)
    assert [one.slice for one in measure(cylinder(), AFFINE, slices, from_last=False)] == [5, 10, 15, 20]


def test_a_step_below_the_distance_of_the_slices_is_refused():
    with pytest.raises(
        SettingsError, match=r"Contours every 0\.5 mm cannot be made on slices 1 mm apart; give 1 to 100"
    ):
        stations_at(cylinder(), AFFINE, 0.5, from_last=True)


def test_masks_with_four_empty_voxels_between_them_are_2_mm_apart():
    one, other = np.zeros((20, 20, 3), bool), np.zeros((20, 20, 3), bool)
    one[5:8, 5:8], other[5:8, 12:15] = True, True
    other[:, :, 2] = False
    found = measure(one, AFFINE, [0, 1, 2], from_last=False, apart=(one, other))
    assert [station.distance_mm for station in found] == [2.0, 2.0, None]


def test_masks_that_touch_are_0_mm_apart():
    one, other = np.zeros((9, 9, 1), bool), np.zeros((9, 9, 1), bool)
    one[2:4, 2:4], other[4:6, 2:4] = True, True
    assert measure(one, AFFINE, [0], from_last=False, apart=(one, other))[0].distance_mm == 0.0


def request(mask, *, orientation="file", structures=None, planning=None, affine=AFFINE):
    volume = Volume(np.full(mask.shape, 60, np.uint8), affine, orientation=orientation)
    ctv = Segmentation(mask.astype(np.uint8), affine, orientation=orientation, phantom_trained=("Urethra",))
    whole = ContouredVolume(volume, ctv, Author("model", "1"), structures or {})
    return Request(whole, ("planimetry",), planning or Planning())


def test_the_page_shows_all_three_volumes_and_the_smallest_distance(tmp_path):
    urethra, wall = np.zeros((60, 60, 30), bool), np.zeros((60, 60, 30), bool)
    urethra[28:32, 30:34, 5:25], wall[20:40, 52:56, 5:25] = True, True
    write_planimetry(tmp_path / "p.html", request(cylinder(), structures={"Urethra": urethra, "Rectal wall": wall}))
    page = (tmp_path / "p.html").read_text()
    assert "6.0 mL (areas on 4 slices times 5 mm)" in page
    assert "6.0 mL; planimetry differs by +0.0 %" in page
    assert "3.1 mL (pi/6 of width, height and length)" in page
    assert "smallest 9.0 mm on these slices" in page
    assert "Urethra: phantom-trained" in page
    assert page.count("<figure>") == 4


def test_without_directions_the_page_claims_no_base_and_no_lengths(tmp_path):
    write_planimetry(tmp_path / "p.html", request(cylinder(), orientation="assumed"))
    page = (tmp_path / "p.html").read_text()
    assert "Every 5 mm from the first slice" in page
    assert "not told: the file gives no orientation" in page
    assert "Width (left-right)" not in page


def test_a_step_of_10_mm_measures_two_slices(tmp_path):
    write_planimetry(tmp_path / "p.html", request(cylinder(), planning=Planning(every_mm=10.0)))
    page = (tmp_path / "p.html").read_text()
    assert "Every 10 mm from the base" in page
    assert page.count("<figure>") == 2


def test_slices_further_apart_than_5_mm_are_all_measured(tmp_path):
    thick = np.diag([-0.5, -0.5, 8.0, 1.0])
    write_planimetry(tmp_path / "p.html", request(cylinder(), affine=thick))
    page = (tmp_path / "p.html").read_text()
    assert "Every 8 mm from the base" in page
    assert page.count("<figure>") == 20


def test_slices_from_apex_to_base_begin_at_the_base_and_sagittal_ones_are_refused(tmp_path):
    write_planimetry(tmp_path / "p.html", request(cylinder(), affine=np.diag([-0.5, -0.5, -1.0, 1.0])))
    assert "Every 5 mm from the base" in (tmp_path / "p.html").read_text()
    sagittal = np.array([[0, 0, 1.0, 0], [-0.5, 0, 0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])
    with pytest.raises(OutputError, match="the slices are not transverse"):
        write_planimetry(tmp_path / "q.html", request(cylinder(), affine=sagittal))


def test_a_name_with_markup_is_text_on_the_page(tmp_path):
    mask = cylinder() & False
    mask[28:32, 30:34, 5:25] = True
    write_planimetry(tmp_path / "p.html", request(cylinder(), structures={"<img src=x>": mask}))
    page = (tmp_path / "p.html").read_text()
    assert "<img src=x>" not in page
    assert "&lt;img src=x&gt;" in page


def test_the_nearest_edges_are_found_on_pixels_of_half_by_two_millimetres():
    affine = np.diag([0.5, 2.0, 1.0, 1.0])
    one, other = np.zeros((12, 6, 1), bool), np.zeros((12, 6, 1), bool)
    one[0, 0], other[1, 2], other[5, 0] = True, True, True
    # (1, 2) is a pixel further across and touches the column: a gap of 2 mm; (5, 0) leaves 4 pixels of 0.5 mm
    assert measure(one, affine, [0], from_last=False, apart=(one, other))[0].distance_mm == 2.0
    other[4, 0] = True
    assert measure(one, affine, [0], from_last=False, apart=(one, other))[0].distance_mm == 1.5


@pytest.mark.parametrize(
    ("mask", "why"),
    [(np.zeros((5, 5, 5), bool), "the CTV is empty"), (np.ones((5, 5, 1), bool), "one slice has no")],
)
def test_nothing_to_measure_is_refused(tmp_path, mask, why):
    with pytest.raises(OutputError, match=f"{why}.*; leave planimetry out"):
        write_planimetry(tmp_path / "p.html", request(mask))
    assert not (tmp_path / "p.html").exists()
