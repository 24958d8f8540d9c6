"""Which structure of a SEG, structure set or .seg.nrrd is read: one, by its name, before anything is drawn."""

from dataclasses import replace

import numpy as np
import pytest
from judges import study
from structure_sets import add_roi, edited

from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.evaluation import evaluate_folders
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write
from prostate_seg.writing.dicom.segmentation import write_dicom_seg
from prostate_seg.writing.dicom.structure_set import write_rtstruct


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with a CTV and a urethra, and both as ``seg.dcm``, ``rt.dcm`` and ``two.seg.nrrd``."""
    made = study(tmp_path_factory.mktemp("made"), "multiframe")
    write_dicom_seg(made.folder / "seg.dcm", made.contoured)
    write_rtstruct(made.folder / "rt.dcm", made.contoured)
    labels = made.contoured.ctv.labels.copy()
    labels[made.contoured.structures["urethra"]] = 2
    names = {1: "Prostate", 2: "urethra"}
    write(Segmentation(labels, made.contoured.ctv.affine, names), made.folder / "two.seg.nrrd")
    write(made.contoured.ctv, made.folder / "ctv.nii.gz")
    return made


def rename(old, new):
    def change(dataset):
        for roi in dataset.get("StructureSetROISequence", []):
            roi.ROIName = new if old == roi.ROIName else roi.ROIName
        for segment in dataset.get("SegmentSequence", []):
            segment.SegmentLabel = new if old == segment.SegmentLabel else segment.SegmentLabel

    return change


@pytest.mark.parametrize("name", ["CTV", " ctv"])
@pytest.mark.parametrize("file", ["seg.dcm", "rt.dcm"])
def test_house_2_two_structures_called_ctv_are_refused_with_their_numbers_1_and_2(made, file, name, tmp_path):
    path = edited(made.folder / file, rename("urethra", name), tmp_path / file)
    with pytest.raises(InputError, match=rf"{file} has 2 structures called CTV \(numbers 1 and 2\)"):
        read_mask(path, like=made.contoured.ctv)


@pytest.mark.parametrize("file", ["seg.dcm", "rt.dcm"])
def test_house_2_two_structures_of_a_name_that_is_not_chosen_do_not_matter(made, file, tmp_path):
    three = replace(made.contoured, structures={**made.contoured.structures, "rectum": made.truth})
    (write_dicom_seg if file == "seg.dcm" else write_rtstruct)(tmp_path / file, three)
    edited(tmp_path / file, rename("rectum", "urethra"))
    found = read_mask(tmp_path / file, like=made.contoured.ctv)
    assert np.count_nonzero(found.labels) == np.count_nonzero(made.truth)
    with pytest.raises(InputError, match=r"2 structures called URETHRA \(numbers 2 and 3\)"):
        read_mask(tmp_path / file, like=made.contoured.ctv, structure=("URETHRA",))


def test_house_2_two_rois_of_one_number_are_refused(made, tmp_path):
    def change(dataset):
        dataset.StructureSetROISequence[1].ROINumber = 1

    with pytest.raises(InputError, match="gives the number 1 to CTV and to another structure"):
        read_mask(edited(made.folder / "rt.dcm", change, tmp_path / "rt.dcm"), like=made.contoured.ctv)


def brachytherapy(dataset):
    """A needle, a seed, and a body outline that runs far beyond the grid."""
    add_roi(dataset, "Needle 1", "OPEN_NONPLANAR", [(0, 0, 0), (1, 1, 30.7)])
    add_roi(dataset, "Seed 1", "POINT", [(0, 0, 0.3)])
    add_roi(dataset, "BODY", "CLOSED_PLANAR", [(-900, -900, 7.0), (900, -900, 7.0), (0, 900, 7.0)])


def test_house_3_a_needle_a_seed_and_an_outline_beyond_the_grid_do_not_keep_the_ctv_from_being_read(made, tmp_path):
    path = edited(made.folder / "rt.dcm", brachytherapy, tmp_path / "rt.dcm")
    assert np.array_equal(read_mask(path, like=made.contoured.ctv).labels, made.truth)
    (row,) = evaluate_folders(made.folder / "ctv.nii.gz", path)
    assert (row.error, row.metrics.dice) == ("", 1.0)


def test_house_3_a_structure_is_chosen_by_its_name_in_any_case_and_its_absence_lists_all_5(made, tmp_path, capsys):
    path = edited(made.folder / "rt.dcm", brachytherapy, tmp_path / "rt.dcm")
    edited(path, rename("CTV", "Prostata"))
    (row,) = evaluate_folders(made.folder / "ctv.nii.gz", path)
    listed = "has the structures Prostata, urethra, Needle 1, Seed 1, BODY; expected one called"
    assert row.error == f"rt.dcm {listed} CTV, choose with --structure NAME."
    for name, status in (("prostata ", 0), ("PROSTATA", 0), ("Prostat", 2)):
        arguments = ["evaluate", made.folder / "ctv.nii.gz", path, "--structure", name]
        assert main(list(map(str, arguments))) == status
    assert f"{listed} Prostat, choose" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["seg.dcm", "rt.dcm", "two.seg.nrrd"])
def test_house_3_every_file_with_names_gives_the_urethra_with_as_many_voxels_as_were_drawn(made, file):
    found = read_mask(made.folder / file, like=made.contoured.ctv, structure=("Urethra",))
    assert np.count_nonzero(found.labels) == np.count_nonzero(made.contoured.structures["urethra"])
    assert found.names == {1: "urethra"}
    with pytest.raises(InputError, match="expected one called bladder, choose with --structure NAME"):
        read_mask(made.folder / file, like=made.contoured.ctv, structure=("bladder",))


def test_house_3_a_prediction_s_ctv_stands_for_the_reference_s_prostate_and_the_row_says_so(made, tmp_path):
    (row,) = evaluate_folders(made.folder / "seg.dcm", made.folder / "two.seg.nrrd", structure="prostate")
    assert row.error == ""
    assert row.note.startswith("The prediction has no prostate; its CTV was taken.")
    (row,) = evaluate_folders(made.folder / "two.seg.nrrd", made.folder / "seg.dcm", structure="prostate")
    assert "seg.dcm has the structures CTV, urethra; expected one called prostate" in row.error
