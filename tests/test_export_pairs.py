"""Which contours of an export belong to which image, and which ROI is which structure."""

import shutil

import pydicom
import pytest
from exports import changed, hashed, paired, reasons, small, study, without_images

from prostate_seg.errors import InputError, SettingsError
from prostate_seg.training.roi_choice import chosen_rois, patterns_of
from prostate_seg.writing import write


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        (["Prostate", "PTV", "Uretra"], (), {"CTV": "Prostate", "Urethra": "Uretra"}),
        (["CTV_Prostate", "prostate"], (), {"CTV": "CTV_Prostate"}),
        (["Prostata", "Rectum", "Blase"], (), {"CTV": "Prostata", "Rectum": "Rectum", "Bladder": "Blase"}),
        (["Prostata", "Blase"], ("Bladder=",), {"CTV": "Prostata"}),
        (["gland MD1", "x"], ("ctv=gland*",), {"CTV": "gland MD1"}),
        (["needle 1"], (), {}),
    ],
)
def test_rois_are_chosen_by_the_first_pattern_that_matches(names, options, expected):
    assert chosen_rois(names, patterns_of(options)) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("Prostate",), "--roi is NAME=PATTERN,PATTERN with one of CTV"),
        (("Needle=n*",), "--roi is NAME=PATTERN,PATTERN"),
        (("CTV=",), "--roi CTV= has no pattern"),
    ],
)
def test_a_roi_option_of_another_form_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        patterns_of(options)


def test_a_pattern_that_matches_two_rois_asks_for_a_choice_and_one_roi_is_not_two_structures():
    with pytest.raises(InputError, match=r"2 ROIs match CTV \(CTV prost A, CTV prost B\); choose by --roi 'CTV"):
        chosen_rois(["CTV prost A", "CTV prost B"], patterns_of(()))
    with pytest.raises(InputError, match="The ROI rectum matches Rectum and Bladder; say which it is"):
        chosen_rois(["rectum"], patterns_of(("Bladder=rect*",)))


def test_of_several_structure_sets_an_approved_one_counts_then_the_newest_and_a_rejected_one_never(tmp_path):
    _, _, first = study(tmp_path / "export", 0)
    second, third, fourth = (first.with_name(name) for name in ("second", "third", "fourth"))
    stated = (
        (first, 2020, "UNAPPROVED"),
        (second, 2021, "APPROVED"),
        (third, 2022, ""),
        (fourth, 2023, "REJECTED"),
    )
    for file, year, status in stated:
        if file != first:
            shutil.copy(first, file)
        changed(file, StructureSetDate=f"{year}0101", ApprovalStatus=status, StructureSetLabel=file.name)
    found = paired(tmp_path / "export")
    assert [pair.contours.name for pair in found.pairs] == ["second"]
    assert reasons(found)["third"] == "second of the same image is approved or newer"
    assert reasons(found)["fourth"] == "it was rejected, by its approval status"
    changed(second, ApprovalStatus="UNAPPROVED")
    assert paired(tmp_path / "export").pairs[0].contours.name == "third"
    assert paired(tmp_path / "export", label=first.name).pairs[0].contours == first
    none = paired(tmp_path / "export", approved_only=True)
    assert none.pairs == ()
    assert sorted(reasons(none).values())[1:4] == ["it is not approved"] * 3


def test_a_newer_structure_set_without_a_ctv_does_not_displace_one_that_has_it(tmp_path):
    _, _, first = study(tmp_path / "export", 0)
    second = first.with_name("second")
    shutil.copy(first, second)
    dataset = pydicom.dcmread(second)
    dataset.StructureSetDate, dataset.StructureSetROISequence[0].ROIName = "20990101", "PTV prostate"
    dataset.save_as(second)
    found = paired(tmp_path / "export")
    assert [pair.contours for pair in found.pairs] == [first]
    assert "it has no CTV (PTV prostate, uretra, Rectum_wall); name its ROI with --roi" in reasons(found)["second"]


def test_contours_that_a_file_calls_automatic_are_no_truth_unless_asked_for(tmp_path):
    _, _, file = study(tmp_path / "export", 0)
    dataset = pydicom.dcmread(file)
    dataset.StructureSetROISequence[0].ROIGenerationAlgorithm = "AUTOMATIC"
    dataset.save_as(file)
    found = paired(tmp_path / "export")
    assert found.pairs == ()
    assert "its CTV was drawn automatically" in reasons(found)[file.name]
    assert len(paired(tmp_path / "export", automatic=True).pairs) == 1


def test_contours_of_a_patient_with_another_id_are_not_used_and_no_id_is_told(tmp_path):
    _, _, file = study(tmp_path / "export", 0)
    changed(file, PatientID="somebody else")
    found = paired(tmp_path / "export")
    assert found.pairs == ()
    assert "which is of a patient with another ID" in reasons(found)[file.name]
    assert not any("somebody" in reason for reason in reasons(found).values())


def test_a_structure_set_without_references_to_images_is_paired_by_its_series(tmp_path):
    study(tmp_path / "export", 2)
    _, _, file = study(tmp_path / "export", 0)
    without_images(file)
    assert len(paired(tmp_path / "export").pairs) == 2
    without_images(file, of_series=False)
    assert reasons(paired(tmp_path / "export"))[file.name] == "it belongs to no image of this export"


def test_a_structure_set_that_lists_two_series_belongs_to_the_one_that_its_ctv_was_drawn_on(tmp_path):
    _, _, file = study(tmp_path / "export", 0)
    _, _, other = study(tmp_path / "export", 2)
    dataset, also = pydicom.dcmread(file), pydicom.dcmread(other)
    lists = [one.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0] for one in (dataset, also)]
    lists[0].RTReferencedSeriesSequence.append(lists[1].RTReferencedSeriesSequence[0])
    dataset.save_as(file)
    other.unlink()
    found = paired(tmp_path / "export")
    assert len(found.pairs) == 1
    assert reasons(found) == {hashed("series2"): "it has no contours that can be used"}


def test_an_image_that_is_there_twice_counts_once(tmp_path):
    study(tmp_path / "export", 0)
    series = next((tmp_path / "export").glob(f"*/{hashed('series0')}"))
    shutil.copytree(series, tmp_path / "export/copy")
    found = paired(tmp_path / "export")
    assert len(found.pairs) == 1
    assert "it is the same image as" in " ".join(reasons(found).values())


def test_studies_without_an_id_in_the_images_are_one_patient_by_their_structure_sets(tmp_path):
    for number in (0, 2):
        study(tmp_path / "export", number, patient="MRN0")
    for file in (tmp_path / "export").rglob("*"):
        if file.is_file() and "structure" not in file.parent.name and file.parent.name != hashed("structure sets"):
            changed(file, PatientID="")
    assert [pair.name for pair in paired(tmp_path / "export").pairs] == ["P001-1", "P001-2"]


@pytest.mark.parametrize("name", ["Ureter_L", "Prostate PTV", "prostate bed", "CTV-margin", "Rectum ring"])
def test_names_of_other_volumes_match_no_structure(name):
    assert chosen_rois([name], patterns_of(())) == {}


def test_a_mask_belongs_to_the_image_in_its_folder_and_never_to_another_patient(tmp_path):
    export = tmp_path / "export"
    for number, name in enumerate(("anna", "berta"), 1):
        (export / name).mkdir(parents=True)
        write(small(number).image, export / name / "scan.nrrd")
    write(small(2).truth, export / "berta/scan_mask.nii.gz")
    found = paired(export)
    assert [(pair.case.files[0].parent.name, pair.contours.parent.name) for pair in found.pairs] == [
        ("berta", "berta")
    ]
    (export / "masks").mkdir()
    shutil.move(export / "berta/scan_mask.nii.gz", export / "masks/scan.nii.gz")
    found = paired(export)
    assert found.pairs == ()
    assert "it fits 2 images" in reasons(found)["scan.nii.gz"]
