"""Hints from corrected masks and structure sets: exactly the corrected slices, on the image's grid."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from cubes import AFFINE, SHAPE, cube
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from judges import study
from structure_sets import edited, first_contour

from prostate_seg.correction.placed import placed
from prostate_seg.errors import GeometryError, InputError
from prostate_seg.geometry.hints import Contour, Hints, Plane, Point
from prostate_seg.geometry.source import Source
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.reading.hints import read_hints
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write
from prostate_seg.writing.dicom.segmentation import write_dicom_seg
from prostate_seg.writing.dicom.structure_set import write_rtstruct
from prostate_seg.writing.hints import write_hints

IMAGE = Volume(np.zeros(SHAPE, np.uint8), AFFINE, source=Source("array", "ab" * 32))
DRAWN = replace(cube(5, 12), source_sha256="ab" * 32)


def corrected(*, shrunk=(), emptied=(), **others):
    """The cube with single slices changed."""
    labels = DRAWN.labels.copy()
    for k in shrunk:
        labels[8:, :, k] = 0
    labels[:, :, list(emptied)] = 0
    return replace(DRAWN, labels=labels, **others)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A series with its CTV as ``seg.dcm`` and ``rt.dcm``."""
    made = study(tmp_path_factory.mktemp("made"), "series")
    write_dicom_seg(made.folder / "seg.dcm", made.contoured)
    write_rtstruct(made.folder / "rt.dcm", made.contoured)
    return made


@pytest.mark.parametrize("name", ["ctv.seg.nrrd", "ctv.nii.gz", "ctv.nrrd", "ctv.mha"])
def test_2_shrunk_slices_and_1_emptied_one_of_6_are_3_contours_and_the_others_say_nothing(name, tmp_path):
    mask = corrected(shrunk=(3, 6), emptied=(7,))
    write(mask, tmp_path / name)
    hints = read_hints(tmp_path / name, IMAGE, DRAWN)
    assert hints.image_sha256 == "ab" * 32
    found = placed(hints, IMAGE).contours
    assert sorted(found) == [3, 6, 7]
    assert {k: int(own.sum()) for k, own in found.items()} == {3: 3 * 8, 6: 3 * 8, 7: 0}
    assert all((own == mask.mask()[:, :, k]).all() for k, own in found.items())
    assert [len(one.outlines_mm) for one in hints.items] == [1, 1, 0]


@settings(max_examples=25)
@given(arrays(bool, (20, 16)), st.integers(0, 9))
def test_any_slice_touched_by_hand_comes_back_voxel_by_voxel(tmp_path_factory, mask, k):
    labels = DRAWN.labels.copy()
    labels[:, :, k] ^= mask.astype(np.uint8)
    file = tmp_path_factory.getbasetemp() / "touched.nrrd"
    write(replace(DRAWN, labels=labels), file)
    if not mask.any():
        with pytest.raises(InputError, match="does not differ from the mask before the correction"):
            read_hints(file, IMAGE, DRAWN)
        return
    (found,) = placed(read_hints(file, IMAGE, DRAWN), IMAGE).contours.items()
    assert found[0] == k
    np.testing.assert_array_equal(found[1], labels[:, :, k] == 1)


def test_a_mask_cropped_and_mirrored_by_another_program_is_the_same_hints(tmp_path):
    write(corrected(shrunk=(4,)), tmp_path / "whole.nrrd")
    inner = sitk.ReadImage(str(tmp_path / "whole.nrrd"))[4:14, 2:14, 1:9]
    sitk.WriteImage(sitk.Flip(inner, [False, True, True]), str(tmp_path / "cropped.nii.gz"))
    whole, cropped = (read_hints(tmp_path / name, IMAGE, DRAWN) for name in ("whole.nrrd", "cropped.nii.gz"))
    assert whole == cropped
    assert len(whole) == 1


def test_a_chosen_structure_of_a_segmentation_is_compared_and_not_another(tmp_path):
    urethra = np.zeros(SHAPE, bool)
    urethra[8:10, 7:9, 2:8] = True
    before = Segmentation(urethra.astype(np.uint8), AFFINE, {1: "urethra"})
    after = urethra.copy()
    after[8:11, 7:9, 5] = True
    write(replace(DRAWN, structures={"urethra": after}), tmp_path / "both.seg.nrrd")
    (one,) = read_hints(tmp_path / "both.seg.nrrd", IMAGE, before, structure="Urethra").items
    assert one.at_mm[2] == 5 * 2.0


def test_a_corrected_dicom_segmentation_differs_on_1_slice(made):
    volume, ctv = made.contoured.volume, made.contoured.ctv
    labels = ctv.labels.copy()
    labels[40:, :, 6] = 0
    write_dicom_seg(made.folder / "changed.dcm", replace(made.contoured, ctv=replace(ctv, labels=labels)))
    hints = read_hints(made.folder / "changed.dcm", volume, ctv)
    (found,) = placed(hints, volume).contours.items()
    assert found[0] == 6
    np.testing.assert_array_equal(found[1], labels[:, :, 6] == 1)


def test_a_structure_set_is_a_contour_for_each_of_its_slices_with_the_voxels_of_its_mask(made):
    volume = made.contoured.volume
    hints = read_hints(made.folder / "rt.dcm", volume)
    mask = read_mask(made.folder / "rt.dcm", like=made.contoured.ctv).mask()
    assert all(isinstance(one, Contour) for one in hints.items)
    found = placed(hints, volume).contours
    assert sorted(found) == np.flatnonzero(mask.any(axis=(0, 1))).tolist()
    assert all((own == mask[:, :, k]).all() for k, own in found.items())


def test_two_islands_of_a_structure_set_on_1_slice_are_1_contour_with_2_outlines(made, tmp_path):
    def twice(dataset):
        one = first_contour(dataset)
        points = np.reshape(np.array(one.ContourData, float), (-1, 3))
        other = edited_copy(one, (points - points.mean(axis=0)) * [0.2, 0.2, 0] + points.mean(axis=0) + [40, 0, 0])
        dataset.ROIContourSequence[0].ContourSequence.append(other)

    path = edited(made.folder / "rt.dcm", twice, tmp_path / "two.dcm")
    counts = [len(one.outlines_mm) for one in read_hints(path, made.contoured.volume).items]
    assert sorted(counts) == [1] * (len(counts) - 1) + [2]


def edited_copy(contour, points):
    copy = deepcopy(contour)
    copy.ContourData = [f"{value:.3f}" for value in points.ravel()]
    return copy


def test_hints_in_json_are_read_by_content_whatever_their_name_is(tmp_path):
    hints = Hints((Plane("apex", (1.0, 2.0, 4.0)), Point("inside", (-9.0, -8.0, 10.0))), "cd" * 32)
    for name in ("hints.json", "notes.txt"):
        write_hints(tmp_path / name, hints)
        assert read_hints(tmp_path / name, IMAGE) == hints


def moved(mask, by_mm):
    affine = np.array(mask.affine)
    affine[0, 3] += by_mm
    return replace(mask, affine=affine)


WRONG_MASKS = {
    "no mask before": (
        "m.nii.gz",
        corrected(shrunk=(4,)),
        None,
        "m.nii.gz is a mask, and the mask before the corr",
    ),
    "another grid before": ("m.nii.gz", corrected(), moved(DRAWN, 3), "before the correction lies on another grid"),
    "half a voxel aside": ("m.nii.gz", moved(corrected(shrunk=(4,)), 0.5), DRAWN, "m.nii.gz lies on another grid"),
    "outside": ("m.nrrd", moved(corrected(), 100), DRAWN, "100.0 % of the segment m.nrrd lies outside the image"),
    "nothing touched": ("m.seg.nrrd", corrected(), DRAWN, "m.seg.nrrd does not differ from the mask before"),
    "empty": ("m.nii.gz", corrected(emptied=range(10)), DRAWN, "m.nii.gz is empty; give one with the gland"),
    "another image": (
        "m.seg.nrrd",
        corrected(shrunk=(4,), source_sha256="ef" * 32),
        DRAWN,
        "was drawn on another image than this image",
    ),
}


@pytest.mark.parametrize("name", WRONG_MASKS)
def test_7_wrong_masks_are_refused_in_one_sentence(name, tmp_path):
    file, mask, before, message = WRONG_MASKS[name]
    write(mask, tmp_path / file)
    with pytest.raises(InputError, match=message) as caught:
        read_hints(tmp_path / file, IMAGE, before)
    assert str(caught.value).count(". ") == 0


WRONG_FILES = {
    "absent.json": (None, "absent.json is no file; give a file of hints"),
    "hints.json": (b'{"space": "RAS mm", ', "hints.json is not JSON"),
    "nan.json": (b'{"space": "RAS mm", "hints": [NaN]}', "nan.json is not JSON: it holds NaN"),
    "twice.json": (b'{"space": "RAS mm", "space": "RAS mm"}', "the name 'space' stands twice in one object"),
    "list.json": (b"[1, 2]", r"list.json: The content is \[1, 2\], expected an object with the"),
    "one.json": (b'{"space": "RAS mm", "hints": [{"type": "box"}]}', "one.json: Hint 1 has the type 'box'"),
    "points.fcsv": (
        b"# Markups fiducial file version = 5.0",
        "points.fcsv is of an unknown kind; give hints.json, m",
    ),
    "empty.nii.gz": (b"", "Cannot read the mask empty.nii.gz"),
    "photo.png": (b"\x89PNG\r\n", "photo.png is of an unknown kind"),
    "deep.json": (b"[" * 100 + b"]" * 100, "nested more than 64 levels deep"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_10_wrong_files_are_refused_by_name_without_their_folder(name, tmp_path):
    text, message = WRONG_FILES[name]
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(InputError, match=message) as caught:
        read_hints(tmp_path / name, IMAGE, DRAWN)
    assert str(tmp_path) not in str(caught.value)


def test_contours_off_the_slices_of_another_place_or_of_no_structure_are_refused(made, tmp_path):
    volume = made.contoured.volume
    affine = np.array(volume.affine)
    affine[2, 3] += 1.4  # of 4 mm
    with pytest.raises(GeometryError, match=r"A contour of .* in rt.dcm lies at slices .*65.* expected one of its"):
        read_hints(made.folder / "rt.dcm", replace(volume, affine=affine))
    ctv = replace(made.contoured.ctv, frame_of_reference="1.2.3")
    header = replace(volume.source, header=None)
    with pytest.raises(GeometryError, match=r"rt\.dcm lies in another frame of reference than the image"):
        read_hints(made.folder / "rt.dcm", replace(volume, source=header), ctv)
    with pytest.raises(InputError, match="expected one called bladder"):
        read_hints(made.folder / "rt.dcm", volume, structure="bladder")

    def emptied(dataset):
        del dataset.ROIContourSequence[0].ContourSequence

    path = edited(made.folder / "rt.dcm", emptied, tmp_path / "none.dcm")
    with pytest.raises(InputError, match=r"in none\.dcm has no contour; choose another structure"):
        read_hints(path, volume)


def test_a_file_of_hints_is_no_patient_in_a_message(tmp_path):
    (tmp_path / "hints.json").write_text(json.dumps({"space": "RAS mm", "hints": [], "patient": "Weber^Hans"}))
    with pytest.raises(InputError) as caught:
        read_hints(tmp_path / "hints.json", IMAGE)
    assert "Weber" not in str(caught.value)
