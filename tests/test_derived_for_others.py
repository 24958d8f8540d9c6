"""What other systems need: slices declared as CT with the structure set on them, and contours burned in."""

import numpy as np
import pydicom
import pytest
from judges import dicom_errors, plastimatch_masks, study

from prostate_seg.errors import OutputError
from prostate_seg.geometry.volume import Volume
from prostate_seg.writing.dicom.ct_series import write_ct_series
from prostate_seg.writing.dicom.planned_structures import write_structures
from prostate_seg.writing.dicom.secondary_capture import MARGIN, write_secondary_capture
from prostate_seg.writing.request import Request


@pytest.fixture(scope="module", params=["series", "multiframe"])
def made(request, tmp_path_factory):
    return study(tmp_path_factory.mktemp("made"), request.param)


def test_ultrasound_declared_as_ct_keeps_gray_values_and_says_so_and_has_no_errors(made, tmp_path):
    files = write_ct_series(tmp_path, made.contoured.volume)
    assert len(files) == 12
    assert [error for file in files for error in dicom_errors(file)] == []
    first = pydicom.dcmread(files[0])
    assert (first.Modality, list(first.ImageType)) == ("CT", ["DERIVED", "SECONDARY", "AXIAL"])
    assert (first.RescaleSlope, first.RescaleIntercept, first.RescaleType) == (1, 0, "US")
    assert "ULTRASOUND" in first.SeriesDescription
    assert first.DerivationDescription.startswith("ULTRASOUND DECLARED AS CT: gray values, no Hounsfield units")
    assert np.array_equal(first.pixel_array, made.contoured.volume.array[:, :, 0].T)
    assert "SequenceOfUltrasoundRegions" not in first


def test_the_structure_set_lies_on_the_ct_series_if_that_is_written_too(made, tmp_path):
    files = write_ct_series(tmp_path / "ct", made.contoured.volume)
    request = Request(made.contoured, ("rtstruct", "us-series", "ct-series"))
    write_structures(tmp_path / "rt.dcm", request)
    assert dicom_errors(tmp_path / "rt.dcm") == []
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    used = {
        str(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
        for roi in dataset.ROIContourSequence
        for contour in roi.ContourSequence
    }
    images = [pydicom.dcmread(file) for file in files]
    assert used <= {str(image.SOPInstanceUID) for image in images}
    assert {str(image.FrameOfReferenceUID) for image in images} == {str(dataset.FrameOfReferenceUID)}
    masks = plastimatch_masks(tmp_path / "rt.dcm", made.contoured.volume, tmp_path)
    assert np.array_equal(masks["CTV"], made.truth)


def test_burned_in_contours_are_coloured_and_marked_and_have_no_errors(made, tmp_path):
    write_secondary_capture(tmp_path / "sc.dcm", made.contoured)
    assert dicom_errors(tmp_path / "sc.dcm") == []
    dataset = pydicom.dcmread(tmp_path / "sc.dcm")
    assert (dataset.BurnedInAnnotation, list(dataset.ImageType)) == ("YES", ["DERIVED", "SECONDARY"])
    frames = dataset.pixel_array
    assert frames.shape[0] == 12
    picture = frames[:, : -3 * MARGIN]
    orange = (picture == (230, 159, 0)).all(axis=-1).any(axis=(1, 2))
    drawn = made.contoured.ctv.mask().any(axis=(0, 1))
    assert int(orange.sum()) == int(drawn.sum())


def test_the_same_contours_give_the_same_bytes(made, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        write_secondary_capture(tmp_path / name, made.contoured)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()


def test_without_dicom_there_is_nothing_to_derive_from(tmp_path):
    volume = Volume(np.full((4, 4, 4), 9, np.uint8), np.eye(4))
    with pytest.raises(OutputError, match="refers to DICOM images, but the source is array"):
        write_ct_series(tmp_path / "ct", volume)
    assert not (tmp_path / "ct").exists()
