"""Hand-overs that could lose or falsify something: names, corrections, provenance, odd sources."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from judges import MAKER, dicom_errors, study

from prostate_seg import read
from prostate_seg.cases.export import ExportOptions, export_case
from prostate_seg.cli import main
from prostate_seg.errors import InputError, OutputError, SettingsError
from prostate_seg.geometry.margin import Margin, enlarged
from prostate_seg.geometry.volume import Segmentation, Volume, affine_from_lps
from prostate_seg.reading.acquisition import Acquisition
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write
from prostate_seg.writing.contoured_volume import ContouredVolume
from prostate_seg.writing.dicom.derived_series import write_derived_series
from prostate_seg.writing.dicom.segmentation import write_dicom_probability, write_dicom_seg
from prostate_seg.writing.dicom.structure_set import Enlarged, write_rtstruct
from prostate_seg.writing.dicom.ultrasound import write_us


@pytest.fixture
def made(tmp_path):
    return study(tmp_path, "multiframe")


@pytest.fixture
def mask(made, tmp_path):
    """The truth and its urethra as two files' masks on the volume's grid."""
    write(made.contoured.ctv, tmp_path / "good.seg.nrrd")
    return tmp_path / "good.seg.nrrd"


def test_a_second_structure_called_ctv_or_ptv_is_refused_and_never_replaces_the_first(made, tmp_path):
    other = {" ctv": made.contoured.structures["urethra"]}
    with pytest.raises(SettingsError, match="Two structures are called ctv"):
        replace(made.contoured, structures=other)
    planned = replace(made.contoured, structures={"PTV": made.contoured.structures["urethra"]})
    with pytest.raises(SettingsError, match=r"Two ROIs would be called PTV \(CTV with its margin and PTV\)"):
        write_rtstruct(tmp_path / "rt.dcm", planned, further=[Enlarged("CTV", Margin.parse("3"), made.truth)])


def test_two_margins_and_two_probabilities_have_uids_of_their_own(made, tmp_path):
    uids = set()
    for number, mm in enumerate(("2", "3")):
        target = enlarged(made.truth, made.contoured.volume.affine, Margin.parse(mm), "assumed")
        write_rtstruct(
            tmp_path / f"{number}.dcm", made.contoured, further=[Enlarged("CTV", Margin.parse("3"), target)]
        )
        uids.add(pydicom.dcmread(tmp_path / f"{number}.dcm").SOPInstanceUID)
        values = np.full(made.truth.shape, 0.25 * (number + 1), np.float32)
        unsure = replace(made.contoured, ctv=replace(made.contoured.ctv, probability=values))
        write_dicom_probability(tmp_path / f"p{number}.dcm", unsure)
        uids.add(pydicom.dcmread(tmp_path / f"p{number}.dcm").SOPInstanceUID)
    assert len(uids) == 4


def test_an_export_into_its_own_folder_or_onto_its_source_is_refused(made, mask, tmp_path):
    first = export_case(
        ExportOptions(mask, ("seg-nrrd", "us-series"), tmp_path / "source"), tmp_path / "out"
    ).folder
    with pytest.raises(OutputError, match=r"holds ctv\.seg\.nrrd, which it would replace"):
        export_case(ExportOptions(first, ("rtstruct",), tmp_path / "source"), tmp_path / "out", overwrite=True)
    with pytest.raises(OutputError, match="holds us_series, which it would replace"):
        export_case(ExportOptions(mask, ("nifti",), first / "us_series"), tmp_path / "out", overwrite=True)
    assert (first / "ctv.seg.nrrd").exists()


def test_a_corrected_mask_is_never_overwritten_by_another_run(tiny_bundle, made, mask, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["segment", tmp_path / "source", "-o", out, "--bundle", tiny_bundle, "--tta", "none", "--overwrite"]
    assert main([*map(str, arguments), "--format", "seg-nrrd"]) == 0
    case = next(out.iterdir())
    shutil.copy(mask, case / "ctv.seg.nrrd")
    assert main([*map(str, arguments), "--format", "nifti"]) == 2
    assert "which was changed since it was written and would be lost" in capsys.readouterr().err
    assert np.array_equal(read_mask(case / "ctv.seg.nrrd").labels == 1, made.truth)


def test_of_two_masks_in_a_case_the_corrected_one_counts_and_two_corrections_that_differ_are_refused(
    mask, tmp_path
):
    source = tmp_path / "source"
    case = export_case(ExportOptions(mask, ("nifti", "seg-nrrd"), source), tmp_path / "out").folder
    labels = read_mask(mask).labels.copy()
    labels[30:34, 30:34, 5] = 1 - labels[30:34, 30:34, 5]
    write(Segmentation(labels, read_mask(mask).affine), case / "ctv.nii.gz")
    done = export_case(ExportOptions(case, ("nifti",), source), tmp_path / "again")
    assert np.array_equal(read_mask(done.folder / "ctv.nii.gz").labels, labels)
    labels[0, 0, 0] = 1
    write(Segmentation(labels, read_mask(mask).affine), case / "ctv.seg.nrrd")
    with pytest.raises(InputError, match="were both changed and differ; give the file that counts"):
        export_case(ExportOptions(case, ("nifti",), source), tmp_path / "third")


def test_what_was_semiautomatic_stays_so_when_it_is_exported_again(mask, tmp_path):
    case = export_case(ExportOptions(mask, ("seg-nrrd",), tmp_path / "source"), tmp_path / "out").folder
    again = export_case(ExportOptions(case, ("dicom-seg",), tmp_path / "source"), tmp_path / "again").folder
    segment = pydicom.dcmread(again / "ctv_seg.dcm").SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_a_structure_beside_an_automatic_ctv_is_called_manual(made, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", made.contoured)
    write_rtstruct(tmp_path / "rt.dcm", made.contoured)
    kinds = [segment.SegmentAlgorithmType for segment in pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence]
    assert kinds == ["AUTOMATIC", "MANUAL"]
    rois = pydicom.dcmread(tmp_path / "rt.dcm").StructureSetROISequence
    assert [roi.ROIGenerationAlgorithm for roi in rois] == kinds
    assert dicom_errors(tmp_path / "seg.dcm") == []


def test_an_assumed_orientation_stays_assumed_without_its_source(mask, tmp_path):
    case = export_case(ExportOptions(mask, ("nrrd", "seg-nrrd"), tmp_path / "source"), tmp_path / "out").folder
    assert json.loads((case / "manifest.json").read_text())["orientation"] == "assumed"
    again = export_case(ExportOptions(case, ("nifti",)), tmp_path / "again").folder
    assert json.loads((again / "manifest.json").read_text())["orientation"] == "assumed"


def test_options_of_the_first_export_hold_for_the_next_and_single_ones_are_added(made, mask, tmp_path):
    source = tmp_path / "source"
    turned = Acquisition(frame_order="base-to-apex", probe_side="bottom")
    volume = read(source, frame_order="base-to-apex", probe_side="bottom")
    write(Segmentation(made.contoured.ctv.labels, volume.affine), mask)
    case = export_case(ExportOptions(mask, ("nifti",), source, acquisition=turned), tmp_path / "out").folder
    more = Acquisition(frame_spacing_mm=4.0)
    again = export_case(ExportOptions(case, ("nifti",), source, acquisition=more), tmp_path / "again").folder
    assert np.array_equal(read_mask(again / "ctv.nii.gz").labels, made.contoured.ctv.labels)


def test_interpolation_onto_the_images_grid_is_said(made, tmp_path):
    affine = np.array(made.contoured.volume.affine)
    affine[:3, 3] += 0.3
    write(Segmentation(made.contoured.ctv.labels, affine), tmp_path / "shifted.nii.gz")
    done = export_case(
        ExportOptions(tmp_path / "shifted.nii.gz", ("nifti",), tmp_path / "source"), tmp_path / "out"
    )
    (told,) = [note for note in done.notes if "another grid" in note]
    assert told.startswith("The CTV was drawn on another grid and interpolated onto the image's, ")  # no file name
    before, after = (float(number) for number in re.findall(r"\d+\.\d\d", told))
    assert before == pytest.approx(made.contoured.ctv.volume_ml, abs=0.006)
    assert after == pytest.approx(before, rel=0.03)
    assert done.notes == json.loads((done.folder / "manifest.json").read_text())["warnings"]


def test_a_further_structure_needs_a_format_that_holds_it(mask, tmp_path):
    with pytest.raises(SettingsError, match="--structure is about formats that hold several"):
        export_case(ExportOptions(mask, ("nifti", "stl"), tmp_path / "source", structures=("x",)), tmp_path / "out")


def test_a_single_frame_of_a_multi_frame_becomes_a_segmentation_without_a_volume(made, tmp_path):
    image = made.contoured.volume
    write_us(Volume(image.array[:, :, 5:6], image.affine), tmp_path / "one", kind="multiframe")
    one = read(tmp_path / "one", frame_spacing_mm=4.0)
    contoured = ContouredVolume(one, Segmentation(made.contoured.ctv.labels[:, :, 5:6].copy(), one.affine), MAKER)
    write_dicom_seg(tmp_path / "seg.dcm", contoured)
    write_rtstruct(tmp_path / "rt.dcm", contoured)
    assert dicom_errors(tmp_path / "seg.dcm") == dicom_errors(tmp_path / "rt.dcm") == []
    assert "ROIVolume" not in pydicom.dcmread(tmp_path / "rt.dcm").StructureSetROISequence[0]


@pytest.mark.parametrize("charset", ["ISO_IR 100", ["", "ISO 2022 IR 87"]])
def test_a_japanese_structure_beside_a_patient_of_another_character_set_keeps_both_names(tmp_path, charset):
    made = study(tmp_path, "multiframe")
    file = next((tmp_path / "source").iterdir())
    dataset = pydicom.dcmread(file)
    name = "Müller^Test" if charset == "ISO_IR 100" else "Yamada^Tarou=山田^太郎"
    dataset.SpecificCharacterSet, dataset.PatientName = charset, name
    dataset.save_as(file)
    contoured = replace(
        made.contoured, volume=read(file), structures={"尿道": made.contoured.structures["urethra"]}
    )
    write_dicom_seg(tmp_path / "seg.dcm", contoured)
    write_rtstruct(tmp_path / "rt.dcm", contoured)
    segmentation, structures = (pydicom.dcmread(tmp_path / name) for name in ("seg.dcm", "rt.dcm"))
    assert segmentation.SegmentSequence[1].SegmentLabel == "尿道"
    assert structures.StructureSetROISequence[1].ROIName == "尿道"
    assert str(segmentation.PatientName) == str(structures.PatientName) == name
    assert dicom_errors(tmp_path / "seg.dcm") == dicom_errors(tmp_path / "rt.dcm") == []


@pytest.mark.parametrize("name", ["a\\b", "line\nbreak", "x" * 65, " "])
def test_names_that_dicom_cannot_hold_are_refused(made, tmp_path, name):
    contoured = replace(made.contoured, structures={name: made.truth})
    for write_object in (write_dicom_seg, write_rtstruct):
        with pytest.raises(OutputError, match="expected 1 to 64 printable characters without a backslash"):
            write_object(tmp_path / "x.dcm", contoured)


def test_sexes_and_times_that_dicom_does_not_know_are_left_empty(tmp_path):
    made = study(tmp_path, "multiframe")
    file = next((tmp_path / "source").iterdir())
    with pydicom.config.disable_value_validation():
        dataset = pydicom.dcmread(file)
        dataset.PatientSex, dataset.ContentTime, dataset.StudyDate = "X?", "12:00:00", "2020-01-04"
        dataset.save_as(file)
        contoured = replace(made.contoured, volume=read(file))
    write_dicom_seg(tmp_path / "seg.dcm", contoured)
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (written.PatientSex, written.StudyDate, written.ContentTime) == ("", "", "120000")


def test_a_derived_series_of_16_bits_has_8_and_of_lossy_images_says_so(tmp_path):
    wide = Volume(
        np.random.default_rng(0).integers(0, 4000, (30, 20, 4)).astype(np.uint16),
        affine_from_lps(np.eye(3), np.array([0.5, 0.5, 3.0]), np.zeros(3)),
    )
    write_us(wide, tmp_path / "wide", kind="multiframe")
    file = next((tmp_path / "wide").iterdir())
    dataset = pydicom.dcmread(file)
    dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", "12"
    dataset.save_as(file)
    files = write_derived_series(tmp_path / "series", read(file))
    first = pydicom.dcmread(files[0])
    assert (first.BitsAllocated, first.LossyImageCompression, first.LossyImageCompressionRatio) == (8, "01", 12)
    assert dicom_errors(files[0]) == []
    assert max(pydicom.dcmread(f).pixel_array.max() for f in files) == 255


def test_a_contour_of_20000_points_is_read_back_as_numbers(tmp_path):
    rng = np.random.default_rng(0)
    shape = (1600, 1400, 2)
    image = Volume(
        rng.integers(1, 255, shape).astype(np.uint8),
        affine_from_lps(np.eye(3), np.array([0.03, 0.03, 1]), np.zeros(3)),
    )
    write_us(image, tmp_path / "fine", kind="multiframe")
    volume = read(tmp_path / "fine")
    angle = np.arctan2(*(np.ogrid[:1600, :1400][n] - (800, 700)[n] for n in (0, 1)))
    radius = np.hypot(*(np.ogrid[:1600, :1400][n] - (800, 700)[n] for n in (0, 1)))
    labels = np.repeat((radius < 500 + 60 * np.sin(60 * angle))[..., None], 2, axis=2).astype(np.uint8)
    write_rtstruct(tmp_path / "rt.dcm", ContouredVolume(volume, Segmentation(labels, volume.affine), MAKER))
    contour = pydicom.dcmread(tmp_path / "rt.dcm").ROIContourSequence[0].ContourSequence[0]
    assert contour["ContourData"].VR == "DS"
    assert contour.NumberOfContourPoints * 3 == len(contour.ContourData) > 9000
    assert dicom_errors(tmp_path / "rt.dcm") == []


def test_no_posterior_margin_stays_none_on_thick_slices_that_are_tilted():
    tilt = np.radians(25)
    direction = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = affine_from_lps(direction, np.array([0.2, 0.2, 5.0]), np.zeros(3))
    mask = np.zeros((60, 60, 5), bool)
    mask[25:35, 25:35, 2] = True
    grown = enlarged(mask, affine, Margin.parse("3,posterior=0"))

    def furthest(found):
        return (np.argwhere(found) @ (direction * [0.2, 0.2, 5.0]).T)[:, 1].max()

    assert furthest(grown) - furthest(mask) <= 0.1
