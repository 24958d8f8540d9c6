"""What dciodvfy, highdicom, dcmqi and plastimatch say about our DICOM, in the patient's millimetres."""

from itertools import product

import highdicom
import numpy as np
import pydicom
import pytest
from judges import KINDS, dcmqi_mask, dice, dicom_errors, plastimatch_masks, study, world_points

from prostate_seg import read
from prostate_seg.writing.dicom.derived_series import write_derived_series
from prostate_seg.writing.dicom.segmentation import write_dicom_probability, write_dicom_seg
from prostate_seg.writing.dicom.structure_set import write_rtstruct


@pytest.fixture(scope="module", params=list(product(KINDS, ("axial", "oblique"), ("MONOCHROME2", "RGB"))), ids=str)
def handed_over(request, tmp_path_factory):
    """A study of each kind, axial and oblique, gray and colour, and everything written for it."""
    kind, turn, photometric = request.param
    folder = tmp_path_factory.mktemp(f"{kind}-{turn}-{photometric}")
    probability = np.random.default_rng(0).random((80, 60, 12), dtype=np.float32)
    made = study(folder, kind, photometric=photometric, turn=turn, probability=probability)
    write_dicom_seg(folder / "seg.dcm", made.contoured)
    write_dicom_probability(folder / "probability.dcm", made.contoured)
    write_rtstruct(folder / "source.dcm", made.contoured)
    write_rtstruct(folder / "derived.dcm", made.contoured, series="us-series")
    write_derived_series(folder / "series", made.contoured.volume)
    return made


@pytest.mark.parametrize(
    "name", ["seg.dcm", "probability.dcm", "source.dcm", "derived.dcm", "series/us_0001.dcm", "series/us_0012.dcm"]
)
def test_dciodvfy_finds_0_errors(handed_over, name):
    assert dicom_errors(handed_over.folder / name) == []


def test_highdicom_gives_back_every_voxel_of_the_ctv_at_its_place_within_a_thousandth_of_a_mm(handed_over):
    segmentation = highdicom.seg.segread(handed_over.folder / "seg.dcm")
    volume = segmentation.get_volume(segment_numbers=[1], combine_segments=True)
    found = world_points(volume.array > 0, volume.affine)
    np.testing.assert_allclose(found, handed_over.world, atol=1e-3)


def test_dcmqi_gives_back_every_voxel_of_the_ctv_at_its_place_within_a_thousandth_of_a_mm(handed_over):
    mask, lps = dcmqi_mask(handed_over.folder / "seg.dcm", handed_over.folder / "dcmqi")
    np.testing.assert_allclose(world_points(mask, lps), handed_over.world, atol=1e-3)


def test_highdicom_gives_back_the_probability_within_half_a_step_of_255(handed_over):
    segmentation = highdicom.seg.segread(handed_over.folder / "probability.dcm")
    volume = segmentation.get_volume(rescale_fractional=True)
    values = volume.array[..., 0] if volume.array.ndim == 4 else volume.array
    index = np.linalg.inv(volume.affine) @ np.append(handed_over.world[0], 1)
    there = values[tuple(np.rint(index[:3]).astype(int))]
    affine = handed_over.contoured.volume.affine * np.array([-1, -1, 1, 1])[:, None]
    at = np.rint(np.linalg.inv(affine) @ np.append(handed_over.world[0], 1))[:3].astype(int)
    assert there == pytest.approx(handed_over.contoured.ctv.probability[tuple(at)], abs=0.5 / 255 + 1e-3)
    assert values.sum() == pytest.approx(handed_over.contoured.ctv.probability.sum(), rel=1e-3)


def test_every_frame_of_the_segmentation_refers_to_the_source_frame_at_its_own_place(handed_over):
    source = handed_over.contoured.volume.source
    segmentation = pydicom.dcmread(handed_over.folder / "seg.dcm")
    referred = []
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        affine = handed_over.contoured.volume.affine * np.array([-1, -1, 1, 1])[:, None]
        k = round(float((np.linalg.inv(affine) @ np.append(position, 1))[2]))
        images = [item for entry in frame.DerivationImageSequence for item in entry.SourceImageSequence]
        assert len(images) == 1
        assert images[0].ReferencedSOPInstanceUID == source.frames[k].sop_instance_uid
        if "ReferencedFrameNumber" in images[0]:
            assert images[0].ReferencedFrameNumber == source.frames[k].frame_number
        referred.append((images[0].ReferencedSOPInstanceUID, images[0].get("ReferencedFrameNumber", 1)))
    assert len(referred) == 2 * 12  # two segments of twelve slices
    assert len(set(referred)) == 12


@pytest.mark.parametrize("name", ["source.dcm", "derived.dcm"])
def test_plastimatch_rasterises_ctv_and_urethra_with_a_dice_of_at_least_0_999(handed_over, name, tmp_path):
    masks = plastimatch_masks(handed_over.folder / name, handed_over.contoured.volume, tmp_path)
    assert dice(masks["CTV"], handed_over.truth) >= 0.999
    assert dice(masks["urethra"], handed_over.contoured.structures["urethra"]) >= 0.999


def test_segmentation_structure_set_and_derived_series_share_a_frame_of_reference(handed_over):
    files = ("seg.dcm", "source.dcm", "derived.dcm", "series/us_0003.dcm")
    headers = [pydicom.dcmread(handed_over.folder / name) for name in files]
    assert len({header.FrameOfReferenceUID for header in headers}) == 1
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert len({str(header.PatientID) for header in headers}) == 1


def test_the_derived_series_read_again_is_the_same_volume_at_the_same_place(handed_over):
    volume = handed_over.contoured.volume
    again = read(handed_over.folder / "series")
    np.testing.assert_array_equal(again.array, volume.array)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-4)
    assert again.orientation == "file"


def test_the_structure_set_of_the_derived_series_refers_to_the_image_at_each_contours_place(handed_over):
    positions = {}
    for file in sorted((handed_over.folder / "series").iterdir()):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        normal = np.cross(*np.array(header.ImageOrientationPatient, float).reshape(2, 3))
        positions[header.SOPInstanceUID] = normal, np.array(header.ImagePositionPatient, float)
    contours = pydicom.dcmread(handed_over.folder / "derived.dcm").ROIContourSequence[0].ContourSequence
    for contour in contours:
        normal, position = positions[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert np.abs((points - position) @ normal).max() < 1e-3
