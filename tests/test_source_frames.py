"""Derived objects name the source's frames: which image, and which frame of it."""

from dataclasses import replace

import pydicom
import pytest
from judges import MAKER, dicom_errors, study

from prostate_seg import read
from prostate_seg.errors import OutputError
from prostate_seg.geometry.source import FrameReference
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.writing.contoured_volume import ContouredVolume
from prostate_seg.writing.dicom.segmentation import write_dicom_seg
from prostate_seg.writing.dicom.source import source_header
from prostate_seg.writing.dicom.structure_set import write_rtstruct

CLASSES = {"multi-frame": "1.2.840.10008.5.1.4.1.1.3.1", "retired multi-frame": "1.2.840.10008.5.1.4.1.1.3"}
CLASSES |= {"image": "1.2.840.10008.5.1.4.1.1.6.1", "retired image": "1.2.840.10008.5.1.4.1.1.6"}


def reclassified(folder, kind, uid):
    """A study of 12 slices whose files say another SOP class; the contoured of its CTV."""
    made = study(folder, kind)
    for file in (folder / "source").iterdir():
        dataset = pydicom.dcmread(file)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid
        dataset.save_as(file)
    volume = read(folder / "source", frame_spacing_mm=4.0)
    return ContouredVolume(volume, Segmentation(made.contoured.ctv.labels, volume.affine), MAKER)


def references(path):
    """(SOP class, SOP Instance UID, frame number or None) of every image that a file refers to."""
    found = set()

    def look(_, element):
        if element.VR == "SQ" and element.keyword != "RTReferencedStudySequence":
            for entry in element.value:
                if "ReferencedSOPInstanceUID" in entry:
                    frame = entry.get("ReferencedFrameNumber")
                    uids = str(entry.ReferencedSOPClassUID), str(entry.ReferencedSOPInstanceUID)
                    found.add((*uids, None if frame is None else int(frame)))

    pydicom.dcmread(path).walk(look)
    return found


@pytest.mark.parametrize("uid", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("kind", ["series", "series-without-positions"])
def test_house_1_12_files_of_one_frame_are_12_images_without_frame_number_in_any_class(kind, uid, tmp_path):
    contoured = reclassified(tmp_path, kind, uid)
    write_dicom_seg(tmp_path / "seg.dcm", contoured)
    write_rtstruct(tmp_path / "rt.dcm", contoured)
    expected = {(uid, frame.sop_instance_uid, None) for frame in contoured.volume.source.frames}
    assert len(expected) == 12
    assert references(tmp_path / "seg.dcm") == expected
    assert {kind for kind, _, _ in references(tmp_path / "rt.dcm")} == {uid}
    assert references(tmp_path / "rt.dcm") == expected
    assert dicom_errors(tmp_path / "seg.dcm") == dicom_errors(tmp_path / "rt.dcm") == []


@pytest.mark.parametrize("uid", CLASSES.values(), ids=CLASSES)
def test_house_1_12_frames_of_one_file_are_frames_1_to_12_of_one_image_in_any_class(uid, tmp_path):
    contoured = reclassified(tmp_path, "multiframe", uid)
    write_dicom_seg(tmp_path / "seg.dcm", contoured)
    (image,) = {frame.sop_instance_uid for frame in contoured.volume.source.frames}
    frames = {(uid, image, number) for number in range(1, 13)}
    assert references(tmp_path / "seg.dcm") - {(uid, image, None)} == frames


def test_house_1_slices_that_share_some_but_not_all_of_their_uids_are_refused(tmp_path):
    volume = study(tmp_path, "series").contoured.volume
    first, second, *others = volume.source.frames
    for frames in ((first, first, *others), (first, FrameReference(first.sop_instance_uid, 2), *others)):
        odd = replace(volume, source=replace(volume.source, frames=frames))
        with pytest.raises(OutputError, match="its 12 slices have 11; expected one file for all slices"):
            source_header(odd, "dicom-seg")
    assert second != first
