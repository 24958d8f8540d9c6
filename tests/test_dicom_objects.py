"""Segmentations, structure sets and derived series: what they say, what they refuse, the same bytes each time."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from judges import KINDS, MAKER, dicom_errors, study

from prostate_seg import read
from prostate_seg.errors import GeometryError, OutputError, SettingsError
from prostate_seg.geometry.margin import Margin, enlarged
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.writing.contoured_volume import (
    ContouredVolume,
    mask_warnings,
)
from prostate_seg.writing.dicom.derived_series import write_derived_series
from prostate_seg.writing.dicom.segmentation import write_dicom_probability, write_dicom_seg
from prostate_seg.writing.dicom.structure_set import Enlarged, planning_slices, write_rtstruct


@pytest.fixture
def made(tmp_path):
    return study(tmp_path, "multiframe", probability=np.full((80, 60, 12), 0.5, np.float32))


def written(contoured, folder):
    """The bytes of every DICOM object of a contoured."""
    folder.mkdir()
    write_dicom_seg(folder / "seg.dcm", contoured)
    write_dicom_probability(folder / "probability.dcm", contoured)
    write_rtstruct(folder / "rt.dcm", contoured)
    write_derived_series(folder / "series", contoured.volume)
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.dcm"))}


def test_the_same_input_gives_the_same_bytes_and_another_mask_another_uid(made, tmp_path):
    first, second = written(made.contoured, tmp_path / "a"), written(made.contoured, tmp_path / "b")
    assert first == second
    labels = made.contoured.ctv.labels.copy()
    labels[tuple(np.argwhere(labels)[0])] = 0
    changed = replace(made.contoured, ctv=replace(made.contoured.ctv, labels=labels))
    third = written(changed, tmp_path / "c")
    for name in ("seg.dcm", "rt.dcm"):
        uids = {pydicom.dcmread(tmp_path / folder / name).SOPInstanceUID for folder in "ac"}
        assert len(uids) == 2
    assert third["us_0001.dcm"] == first["us_0001.dcm"]  # the images are the same


def test_another_frame_spacing_gives_another_frame_of_reference(tmp_path):
    first = study(tmp_path, "series-without-positions").contoured
    other = study(tmp_path / "other", "series-without-positions").contoured
    assert first.uid("x") == other.uid("x")
    stretched = np.array(first.volume.affine) @ np.diag([1, 1, 2, 1])
    moved = ContouredVolume(
        replace(first.volume, affine=stretched), Segmentation(first.ctv.labels, stretched), MAKER, first.structures
    )
    for number, contoured in enumerate((first, other, moved)):
        write_dicom_seg(tmp_path / f"{number}.dcm", contoured)
    places = [pydicom.dcmread(tmp_path / f"{number}.dcm").FrameOfReferenceUID for number in range(3)]
    assert places[0] == places[1] != places[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_statement_that_positions_were_derived_stands_where_they_were(tmp_path, kind):
    made = study(tmp_path, kind)
    write_dicom_seg(tmp_path / "seg.dcm", made.contoured)
    write_rtstruct(tmp_path / "rt.dcm", made.contoured)
    derived = kind in ("multiframe", "series-without-positions")
    for header in (pydicom.dcmread(tmp_path / "seg.dcm"), pydicom.dcmread(tmp_path / "rt.dcm")):
        text = header.get("ImageComments") or header.StructureSetDescription
        assert ("positions were derived" in text) == derived
        assert "research use only" in text
        assert "research use only" in header.SeriesDescription


def test_codes_algorithm_and_types_are_those_of_a_ctv_in_the_prostate(made, tmp_path):
    write_dicom_seg(tmp_path / "seg.dcm", made.contoured)
    segment = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence[0]
    assert segment.SegmentLabel == "CTV"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "130041"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "228792002"
    assert segment.AnatomicRegionSequence[0].CodeValue == "41216001"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "prostate_us_segmenter"
    target = made.contoured.ctv.labels == 1
    write_rtstruct(tmp_path / "rt.dcm", made.contoured, further=[Enlarged("CTV", Margin.parse("3"), target)])
    structures = pydicom.dcmread(tmp_path / "rt.dcm")
    names = [roi.ROIName for roi in structures.StructureSetROISequence]
    types = [entry.RTROIInterpretedType for entry in structures.RTROIObservationsSequence]
    assert list(zip(names, types, strict=True)) == [("CTV", "CTV"), ("PTV", "PTV"), ("urethra", "ORGAN")]


def test_a_patient_without_attributes_gets_empty_ones_and_dciodvfy_finds_0_errors(tmp_path):
    made = study(tmp_path, "multiframe")
    file = next((tmp_path / "source").iterdir())
    dataset = pydicom.dcmread(file)
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
                    "StudyTime", "ReferringPhysicianName", "ContentDate", "ContentTime"):  # fmt: skip
        if keyword in dataset:
            del dataset[keyword]
    dataset.save_as(file)
    contoured = replace(made.contoured, volume=read(file))
    write_dicom_seg(tmp_path / "seg.dcm", contoured)
    write_rtstruct(tmp_path / "rt.dcm", contoured)
    assert dicom_errors(tmp_path / "seg.dcm") == dicom_errors(tmp_path / "rt.dcm") == []
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientName == ""


def test_names_in_other_alphabets_stay_readable(tmp_path):
    made = study(tmp_path, "multiframe")
    file = next((tmp_path / "source").iterdir())
    dataset = pydicom.dcmread(file)
    dataset.PatientName, dataset.SpecificCharacterSet = "Müller^Test", "ISO_IR 100"
    dataset.save_as(file)
    contoured = replace(made.contoured, volume=read(file))
    write_dicom_seg(tmp_path / "seg.dcm", contoured)
    write_rtstruct(tmp_path / "rt.dcm", contoured)
    files = [
        tmp_path / "seg.dcm",
        tmp_path / "rt.dcm",
        *write_derived_series(tmp_path / "series", contoured.volume),
    ]
    headers = [pydicom.dcmread(path) for path in files]
    assert {str(header.PatientName) for header in headers} == {"Müller^Test"}
    assert {header.StudyInstanceUID for header in headers} == {dataset.StudyInstanceUID}
    frames = [header.SourceImageSequence[0].ReferencedFrameNumber for header in headers[2:]]
    assert frames == list(range(1, 13))
    assert headers[2].ImageType[0] == "DERIVED"


def test_contours_every_8_mm_on_slices_4_mm_apart_lie_on_every_other_slice_from_the_base_on(made):
    filled = np.flatnonzero(made.truth.any(axis=(0, 1)))
    known = replace(made.contoured, volume=replace(made.contoured.volume, orientation="option"))
    slices = planning_slices(known, 8.0)
    assert set(np.diff(slices)) == {2}
    assert filled[-1] in slices  # k runs to the superior, so the last filled slice is the base
    assert filled[0] in planning_slices(made.contoured, 8.0)  # nobody says where the base is
    assert planning_slices(known, None) == list(range(12))


def test_contours_of_planning_slices_are_those_of_all_slices_and_no_others(made, tmp_path):
    write_rtstruct(tmp_path / "all.dcm", made.contoured)
    write_rtstruct(tmp_path / "some.dcm", made.contoured, every_mm=8.0)

    def heights(name):
        contours = pydicom.dcmread(tmp_path / name).ROIContourSequence[0].ContourSequence
        return {round(float(contour.ContourData[2]), 3) for contour in contours}

    assert heights("some.dcm") < heights("all.dcm")
    assert dicom_errors(tmp_path / "some.dcm") == []


def test_a_ptv_of_3_mm_but_0_to_the_posterior_is_in_the_structure_set(tmp_path):
    made = study(tmp_path, "series")
    target = enlarged(made.truth, made.contoured.volume.affine, Margin.parse("3,posterior=0"))
    write_rtstruct(tmp_path / "rt.dcm", made.contoured, further=[Enlarged("CTV", Margin.parse("3"), target)])
    contours = pydicom.dcmread(tmp_path / "rt.dcm").ROIContourSequence
    spans = []
    for roi in contours[:2]:
        points = np.concatenate([np.reshape(c.ContourData, (-1, 3)).astype(float) for c in roi.ContourSequence])
        spans.append((points.min(axis=0), points.max(axis=0)))
    (ctv_low, ctv_high), (ptv_low, ptv_high) = spans
    np.testing.assert_allclose(ctv_low[:2] - ptv_low[:2], [2.4, 3.0], atol=0.01)  # whole voxels of 1.2 and 1.0 mm
    np.testing.assert_allclose(ptv_high[:2] - ctv_high[:2], [2.4, 0.0], atol=0.01)


def test_what_a_planner_should_look_at_is_said():
    labels = np.zeros((10, 10, 10), np.uint8)
    assert mask_warnings(Segmentation(labels, np.eye(4))) == []
    labels[2:5, 2:5, 2:5] = 1
    assert mask_warnings(Segmentation(labels, np.eye(4))) == []
    labels[7, 7, 7] = 1
    (text,) = mask_warnings(Segmentation(labels, np.eye(4)))
    assert text == "The CTV has 2 components; those beside the largest hold 3.6 % of it."
    labels[7, 7, 7] = 0
    labels[3, 3, 0:3] = 1
    (text,) = mask_warnings(Segmentation(labels, np.eye(4)))
    assert text == "The CTV touches the image's first slice: the gland may go on beyond it."


@pytest.mark.parametrize("write", [write_dicom_seg, write_rtstruct])
def test_an_empty_mask_is_refused_and_nothing_is_written(made, tmp_path, write):
    empty = replace(made.contoured, ctv=replace(made.contoured.ctv, labels=np.zeros((80, 60, 12), np.uint8)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=r"The CTV is empty, so there is nothing to put into x\.dcm"):
        write(tmp_path / "x.dcm", empty)
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_referred_to_is_refused(made, tmp_path):
    contoured = made.contoured
    file = replace(
        contoured, volume=replace(contoured.volume, source=replace(contoured.volume.source, header=None))
    )
    with pytest.raises(OutputError, match="refers to DICOM images, but the source is us-multiframe"):
        write_dicom_seg(tmp_path / "x.dcm", file)
    header = pydicom.Dataset()
    header.update(contoured.volume.source.header)
    del header.StudyInstanceUID
    nameless = replace(contoured.volume, source=replace(contoured.volume.source, header=header))
    with pytest.raises(OutputError, match="the source has no StudyInstanceUID; export the study again"):
        write_rtstruct(tmp_path / "x.dcm", replace(contoured, volume=nameless))
    with pytest.raises(OutputError, match="this mask has no probability"):
        write_dicom_probability(
            tmp_path / "x.dcm", replace(contoured, ctv=replace(contoured.ctv, probability=None))
        )
    with pytest.raises(SettingsError, match="Contours every 2 mm cannot be made on slices 4 mm apart"):
        write_rtstruct(tmp_path / "x.dcm", contoured, every_mm=2.0)
    with pytest.raises(GeometryError, match=r"expected the image's grid \(80, 60, 12\)"):
        replace(contoured, ctv=Segmentation(np.ones((80, 60, 11), np.uint8), contoured.volume.affine))
    assert not (tmp_path / "x.dcm").exists()
