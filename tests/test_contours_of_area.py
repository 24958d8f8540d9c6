"""Contours that enclose no area, are broken, or lie in another frame of reference are refused by name."""

import numpy as np
import pytest
from judges import study
from structure_sets import edited, first_contour

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.evaluation import evaluate_folders
from prostate_seg.evaluation.masks_of_pair import NO_PLACE
from prostate_seg.reading.masks import read_mask
from prostate_seg.system.json_files import write_json
from prostate_seg.writing import write
from prostate_seg.writing.dicom.segmentation import write_dicom_seg
from prostate_seg.writing.dicom.structure_set import write_rtstruct

ELSEWHERE = "1.2.826.0.1.3680043.8.498.1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with its CTV as ``seg.dcm``, ``rt.dcm`` and ``ctv.nii.gz``."""
    made = study(tmp_path_factory.mktemp("made"), "multiframe")
    write_dicom_seg(made.folder / "seg.dcm", made.contoured)
    write_rtstruct(made.folder / "rt.dcm", made.contoured)
    write(made.contoured.ctv, made.folder / "ctv.nii.gz")
    return made


def changed(**values):
    def change(dataset):
        for keyword, value in values.items():
            setattr(first_contour(dataset), keyword, value)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(ContourGeometricType="POINT"), r"contours that enclose no area \(POINT\)"),
        (changed(ContourGeometricType="OPEN_PLANAR"), r"contours that enclose no area \(OPEN_PLANAR\)"),
        (changed(ContourGeometricType="Doe^John"), r"contours that enclose no area \(of unknown type\)"),
        (changed(ContourData=["0", "0", "7", "1", "1", "7"], NumberOfContourPoints=2), "has 6 coordinates and 2"),
        (changed(ContourData=["0", "0", "7", "1", "1", "7", "2"]), "has 7 coordinates"),
        (changed(NumberOfContourPoints=3), "and 3 points by its"),
        (changed(ContourData=None), "has 0 coordinates"),
        (changed(ContourData=["1e300"] * 9, NumberOfContourPoints=3), "no number of mm"),
    ],
)
def test_g9_a_contour_that_encloses_no_area_or_is_broken_is_refused(made, change, said, tmp_path):
    path = edited(made.folder / "rt.dcm", change, tmp_path / "rt.dcm")
    with pytest.raises(InputError, match=said) as caught:
        read_mask(path, like=made.contoured.ctv)
    assert "Doe" not in str(caught.value)


def test_g9_a_coordinate_that_is_nan_is_refused(made, tmp_path):
    content = (made.folder / "rt.dcm").read_bytes()
    first = str(next(iter(pixel_text(made.folder / "rt.dcm"))))
    assert content.count(first.encode()) >= 1
    (tmp_path / "rt.dcm").write_bytes(content.replace(first.encode(), b"nan".ljust(len(first)), 1))
    with pytest.raises(InputError, match=r"rt\.dcm"):
        read_mask(tmp_path / "rt.dcm", like=made.contoured.ctv)


def pixel_text(path):
    import pydicom

    return [value.original_string for value in first_contour(pydicom.dcmread(path)).ContourData]


def test_g9_contours_in_another_frame_of_reference_than_a_segmentation_are_refused(made, tmp_path):
    def elsewhere(dataset):
        dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = ELSEWHERE

    path = edited(made.folder / "rt.dcm", elsewhere, tmp_path / "rt.dcm")
    for pair in ((made.folder / "seg.dcm", path), (path, made.folder / "seg.dcm")):
        (row,) = evaluate_folders(*pair)
        assert "rt.dcm lies in another frame of reference than the mask it is compared with" in row.error
        assert ELSEWHERE not in row.error
    (row,) = evaluate_folders(made.folder / "seg.dcm", made.folder / "rt.dcm")
    assert (row.error, row.note, row.metrics.dice) == ("", "", 1.0)


def test_g9_two_segmentations_in_two_frames_of_reference_are_refused(made, tmp_path):
    path = edited(made.folder / "seg.dcm", lambda dataset: setattr(dataset, "FrameOfReferenceUID", ELSEWHERE),
                  tmp_path / "other.dcm")  # fmt: skip
    (row,) = evaluate_folders(path, made.folder / "seg.dcm")
    assert "other.dcm lies in another frame of reference" in row.error


def test_g9_nifti_names_no_frame_of_reference_and_the_row_says_so(made):
    (row,) = evaluate_folders(made.folder / "ctv.nii.gz", made.folder / "rt.dcm")
    assert (row.error, row.note, row.metrics.dice) == ("", NO_PLACE, 1.0)


def test_g9_a_case_s_folder_has_the_frame_of_reference_of_its_dicom_files(made, tmp_path):
    case = tmp_path / "case"
    case.mkdir()
    write(made.contoured.ctv, case / "ctv.nii.gz")
    write_json(case / "manifest.json", {"orientation": "file"})
    write_dicom_seg(case / "ctv_seg.dcm", made.contoured)
    (tmp_path / "ref").mkdir()
    write_rtstruct(tmp_path / "ref" / "case.dcm", made.contoured)
    (row,) = evaluate_folders(tmp_path, tmp_path / "ref")[:1]
    assert (row.case, row.error, row.note) == ("case", "", "")
    edited(case / "ctv_seg.dcm", lambda dataset: setattr(dataset, "FrameOfReferenceUID", ELSEWHERE))
    (row,) = evaluate_folders(tmp_path, tmp_path / "ref")[:1]
    assert "lies in another frame of reference" in row.error


def test_g9_an_empty_structure_is_an_empty_mask_and_a_grid_beyond_is_refused(made, tmp_path):
    path = edited(made.folder / "rt.dcm", lambda dataset: delattr(dataset.ROIContourSequence[0], "ContourSequence"),
                  tmp_path / "rt.dcm")  # fmt: skip
    assert np.count_nonzero(read_mask(path, like=made.contoured.ctv).labels) == 0
    with pytest.raises(GeometryError, match="has contours but no grid"):
        read_mask(path)
