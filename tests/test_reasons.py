"""A row of an evaluation tells the true reason, and one bad file never costs the tables."""

import pydicom
import pytest
from cubes import cube, fill
from judges import study
from structure_sets import edited

from prostate_seg.cli import main
from prostate_seg.evaluation import case as case_module
from prostate_seg.evaluation import evaluate_folders, masks_of_pair
from prostate_seg.writing import write
from prostate_seg.writing.dicom.structure_set import write_rtstruct


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study, its CTV as ``rt.dcm`` and ``ctv.nii.gz``."""
    made = study(tmp_path_factory.mktemp("made"), "multiframe")
    write_rtstruct(made.folder / "rt.dcm", made.contoured)
    write(made.contoured.ctv, made.folder / "ctv.nii.gz")
    return made


def test_house_7_a_predicted_contour_off_the_slices_by_1_mm_is_told_so_not_that_it_has_no_grid(made, tmp_path):
    def shift(dataset):
        for contour in dataset.ROIContourSequence[0].ContourSequence:
            contour.ContourData = [
                f"{float(v) + (index % 3 == 2):.4f}" for index, v in enumerate(contour.ContourData)
            ]

    path = edited(made.folder / "rt.dcm", shift, tmp_path / "rt.dcm")
    (row,) = evaluate_folders(path, made.folder / "ctv.nii.gz")
    assert "A contour of CTV in rt.dcm lies on no slice of the other mask's grid" in row.error


def test_d3_two_structure_sets_are_told_that_one_of_them_must_have_voxels(made, tmp_path):
    other = edited(made.folder / "rt.dcm", lambda dataset: None, tmp_path / "other.dcm")
    (row,) = evaluate_folders(made.folder / "rt.dcm", other)
    assert row.error.startswith("rt.dcm and other.dcm are both RT Structure Sets, whose contours have no grid")


def test_d3_a_dicom_file_that_is_another_object_is_told_so_as_prediction_and_as_reference(made, tmp_path):
    path = edited(
        made.folder / "rt.dcm", lambda dataset: setattr(dataset, "SOPClassUID", "1.2.3"), tmp_path / "x.dcm"
    )
    for pair in ((path, made.folder / "ctv.nii.gz"), (made.folder / "ctv.nii.gz", path)):
        (row,) = evaluate_folders(*pair)
        assert row.error == ("x.dcm is neither a DICOM Segmentation nor an RT Structure Set; give one of these.")


@pytest.mark.parametrize("error", [MemoryError(), RecursionError("Doe^John"), RuntimeError("Doe^John"), KeyError()])
@pytest.mark.parametrize(("module", "step"), [(masks_of_pair, "read_mask"), (case_module, "slice_presence")])
def test_c1_whatever_one_of_3_files_raises_is_a_row_and_the_tables_have_all_3(
    module, step, error, tmp_path, monkeypatch, capsys
):
    masks = {"a": cube(4, 14), "b": cube(4, 14), "c": cube(4, 14)}
    model, reference = fill(tmp_path / "p", **masks), fill(tmp_path / "r", **masks)
    real, calls = getattr(module, step), []

    def broken(*arguments, **options):
        calls.append(1)
        if len(calls) == (3 if step == "read_mask" else 2):
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(module, step, broken)
    status = main(
        ["evaluate", str(model), str(reference), "-o", str(tmp_path / "out"), "--pages", "0", "--jobs", "1"]
    )
    assert status == 1
    assert "Doe" not in capsys.readouterr().err
    table = (tmp_path / "out" / "metrics.csv").read_text()
    assert len(table.splitlines()) == 4
    assert "Doe" not in table
    assert "Case b " in table


def test_d3_a_structure_set_of_900_bytes_is_refused_by_its_name_and_not_the_patient_s(made, tmp_path):
    cut = (made.folder / "rt.dcm").read_bytes()[:900]
    (tmp_path / "cut.dcm").write_bytes(cut)
    (row,) = evaluate_folders(tmp_path / "cut.dcm", made.folder / "ctv.nii.gz")
    assert row.error.count(".") >= 1
    assert "cut.dcm" in row.error
    assert str(pydicom.dcmread(made.folder / "rt.dcm").PatientName) not in row.error
