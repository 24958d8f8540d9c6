"""Spacing, place and numbers of images and masks that are missing, not finite, in another unit or contradictory."""

import math
import struct

import nibabel as nib
import numpy as np
import pytest

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.reading.acquisition import Acquisition
from prostate_seg.reading.cases import read
from prostate_seg.reading.masks import SUFFIXES, read_mask

SHAPE = (4, 3, 2)
LABELS = (np.arange(24).reshape(SHAPE) % 2).astype(np.uint8)
LPS = "space: left-posterior-superior\nspace directions: (0.5,0,0) (0,0.5,0) (0,0,2)\nspace origin: (1,2,3)\n"


def nrrd(path, geometry, *, sizes="4 3 2", dimension=3, body=None):
    head = f"NRRD0004\ntype: uint8\ndimension: {dimension}\nsizes: {sizes}\n{geometry}encoding: raw\n\n"
    path.write_bytes(head.encode() + (LABELS.T.tobytes() if body is None else body))
    return path


def nifti(path, **fields):
    """A NIfTI file of 0.5 x 0.5 x 2 mm with changed header fields; name_n is the nth of an array."""
    image = nib.Nifti1Image(LABELS, np.diag([0.5, 0.5, 2.0, 1.0]))
    image.set_qform(image.affine, code=1)
    header = image.header.copy()
    header["vox_offset"], header["scl_slope"], header["scl_inter"] = 352, 1, 0
    for name, value in fields.items():
        field, _, place = name.rpartition("__")
        if field:
            header[field][int(place)] = value
        else:
            header[name] = value
    path.write_bytes(header.binaryblock + bytes(4) + LABELS.tobytes(order="F"))
    return path


def both(path, match):
    for reader in (read, read_mask):
        with pytest.raises(InputError, match=match) as error:
            reader(path)
        assert str(error.value).endswith(".")
        assert "unexpected" not in str(error.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_g3_1_number_of_a_nifti_that_is_not_finite_is_refused(tmp_path, value):
    path = tmp_path / "a.nii"
    for row in ("srow_x", "srow_y", "srow_z"):
        for place in (0, 3):
            both(nifti(path, sform_code=1, **{f"{row}__{place}": value}), "expected")
    for name in ("pixdim__1", "pixdim__3", "qoffset_x", "quatern_b"):
        both(nifti(path, sform_code=0, qform_code=1, **{name: value}), "expected|correct the header")
    both(nifti(path, sform_code=0, qform_code=0, pixdim__2=value), "voxel sizes")
    both(nifti(path, scl_slope=2, scl_inter=value), "scl_inter")
    if math.isinf(value):
        both(nifti(path, scl_slope=value), "scl_slope")


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e308", "1e999", "0x10", "1_0"])
def test_g3_1_number_of_a_nrrd_that_is_not_finite_is_refused(tmp_path, word):
    for old in ("(0.5,0,0)", "(0,0,2)", "(1,2,3)"):
        both(
            nrrd(tmp_path / "a.nrrd", LPS.replace(old, old.replace(old[1], word[:9], 1))),
            "expected|no spacing|contradicts itself",
        )
    both(nrrd(tmp_path / "a.nrrd", f"spacings: 1 {word} 2\n"), "expected|no spacing")


def test_g3_a_frame_spacing_of_2_mm_contradicts_one_that_is_no_number():
    with pytest.raises(GeometryError, match="2 mm contradicts nan mm"):
        Acquisition(frame_spacing_mm=2.0).check_frame_spacing(math.nan, "the file")


@pytest.mark.parametrize(
    "geometry",
    [
        *("", "space: left-posterior-superior\n", "space: LPS\nspace origin: (1,2,3)\n", "space dimension: 3\n"),
        *("kinds: domain domain domain\n", "spacings: nan nan nan\n", "spacings: 1 1 nan\n", "spacings:=1 1 2\n"),
        *("axis mins: 0 0 0\naxis maxs: 4 3 4\n", "elementspacing:=1 1 2\n"),
        "space: LPS\nspace directions: none none none\n",
    ],
)
def test_g5_a_nrrd_without_3_lengths_is_refused_as_image_and_as_mask(tmp_path, geometry):
    both(nrrd(tmp_path / "a.nrrd", geometry), "the header has no spacing")


def test_g5_a_metaimage_mask_without_spacing_is_refused(tmp_path):
    head = "NDims = 3\nBinaryData = True\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(head.encode() + LABELS.T.tobytes())
    both(tmp_path / "a.mha", "the header has no spacing")


def test_g5_spacings_without_a_space_give_2_mm_and_assumed_axes(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", "spacings: 0.5 0.5 2\n")
    for found in (read(path), read_mask(path)):
        assert (found.spacing_mm, found.orientation) == ((0.5, 0.5, 2.0), "assumed")


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("cm", 10), ("m", 1000), ("um", 0.001), ("µm", 0.001)])
def test_g5_space_units_are_converted_to_mm_10_times_for_cm(tmp_path, unit, factor):
    units = f'space units: "{unit}" "{unit}" "{unit}"\n'
    path = nrrd(tmp_path / "a.nrrd", LPS + units)
    for found in (read(path), read_mask(path)):
        assert found.spacing_mm == pytest.approx((0.5 * factor, 0.5 * factor, 2 * factor))
        assert found.affine[:3, 3] == pytest.approx(np.array([-1, -2, 3]) * factor)
    path = nrrd(tmp_path / "b.nrrd", "spacings: 0.5 0.5 2\n" + units.removeprefix("space "))
    assert read_mask(path).spacing_mm == pytest.approx((0.5 * factor, 0.5 * factor, 2 * factor))


def test_g5_3_units_that_differ_or_1_that_is_unknown_are_refused(tmp_path):
    for units in ('"mm" "mm" "cm"', '"inch" "inch" "inch"', '"mm" "mm" "s"'):
        both(nrrd(tmp_path / "a.nrrd", f"{LPS}space units: {units}\n"), "unit of length")


@pytest.mark.parametrize(
    ("geometry", "match"),
    [
        ("spacings: 1 1 2\nkinds: domain domain time\n", "one of its axes is time"),
        ("spacings: 1 1 2\nkinds: list domain vector\n", "2 of its axes are not spatial"),
        ("spacings: 1 1 2\nspace: left-posterior-superior-time\n", "one of its axes is time"),
        ("spacings: 1 1 2\nspace: nowhere\n", "its space is unknown"),
        (f"{LPS}space dimension: 3\n", "a space and a space dimension"),
        ("space: left-posterior-superior\nspacings: 1 1 2\n", "names a space and gives spacings"),
        (f"{LPS}spacings: 1 1 2\n", "names a space and gives spacings, expected space directions"),
        ("spacings: 1 1\n", "2 spacings for 3 axes"),
        ("spacings: 1 1 -2\n", "'-2', expected a positive length"),
    ],
)
def test_g5_axes_that_are_no_3_lengths_in_space_are_refused(tmp_path, geometry, match):
    both(nrrd(tmp_path / "a.nrrd", geometry), match)


def test_a_number_of_1e_minus_311_in_a_direction_is_0_and_as_a_spacing_no_length(tmp_path):
    tilted = LPS.replace("(0.5,0,0)", "(0.5,1e-311,0)")
    assert read(nrrd(tmp_path / "tilted.nrrd", tilted)).affine[1, 0] == 0.0
    header = "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nTransformMatrix = 1 1e-311 0 0 1 0 0 0 1\n"
    header += "Offset = 0 0 0\nElementSpacing = {}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    path = tmp_path / "tilted.mha"
    path.write_bytes(header.format("0.5 0.5 2").encode() + LABELS.T.tobytes())
    assert read(path).affine[1, 0] == 0.0
    path.write_bytes(header.format("1e-311 0.5 2").encode() + LABELS.T.tobytes())
    both(path, "has the length 0, expected positive ones in mm")
    both(nrrd(tmp_path / "flat.nrrd", "spacings: 1e-311 0.5 2\n"), "expected a positive length in mm")


@pytest.mark.parametrize("offset", [0, 16, 348, 351, math.nan, math.inf, -352])
def test_g8_voxels_that_begin_before_byte_352_are_refused(tmp_path, offset):
    both(nifti(tmp_path / "a.nii", vox_offset=offset), r"\(vox_offset\), expected 352 or more")


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"bitpix": 16}, r"have 16 bits \(bitpix\), expected 8 by their datatype"),
        ({"datatype": 4}, r"have 8 bits \(bitpix\), expected 16"),
        ({"datatype": 99}, "its datatype is 99, which is none of NIfTI's"),
        ({"dim__1": -4}, "expected 2 to 7 positive lengths"),
        ({"dim__0": 0}, "expected|damaged|no NIfTI file"),
        ({"dim__0": 8}, "expected|damaged|no NIfTI file"),
        ({"dim__1": 0}, r"it is empty, shape \(0, 3, 2\)"),
        ({"dim__1": 27307, "dim__2": 1, "dim__3": 6}, "expected 163842 bytes"),
        ({"sform_code": 9}, "its sform code is 9, expected 0 to 5"),
        ({"qform_code": -3}, "its qform code is -3, expected 0 to 5"),
        ({"sform_code": 0, "qform_code": 0, "pixdim__3": 0}, "expected positive ones"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 2}, "its qform is no rotation"),
        ({"magic": b"ni1"}, "one of a pair .hdr and .img"),
    ],
)
def test_g8_a_nifti_header_with_1_contradiction_is_refused(tmp_path, fields, match):
    both(nifti(tmp_path / "a.nii", **fields), match)


@pytest.mark.parametrize("code", [4, 5, 6, 7])
def test_d1_units_of_length_with_code_4_to_7_are_1_sentence(tmp_path, code):
    both(nifti(tmp_path / "a.nii", xyzt_units=code), r"unit of length \(xyzt_units\) is not defined")


@pytest.mark.parametrize(("code", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 0.001)])
@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (0, 0)])
def test_house_5_a_mask_in_micrometres_has_a_thousandth_of_the_spacing_as_its_image_has(
    tmp_path, code, factor, codes
):
    path = nifti(tmp_path / "a.nii", xyzt_units=code, sform_code=codes[0], qform_code=codes[1])
    expected = pytest.approx((0.5 * factor, 0.5 * factor, 2 * factor))
    assert read(path).spacing_mm == expected
    assert read_mask(path).spacing_mm == expected
    assert read(path).orientation == read_mask(path).orientation == ("file" if any(codes) else "assumed")


def test_house_5_a_nifti_mask_of_3_colours_is_refused(tmp_path):
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(InputError, match="colours or complex numbers, expected one real number each"):
        read_mask(tmp_path / "a.nii")


def test_house_21_masks_of_2_files_count_as_masks_and_a_pair_of_analyze_is_refused(tmp_path):
    assert {".nhdr", ".mhd", ".hdr"} < set(SUFFIXES)
    header = nifti(tmp_path / "b.nii").read_bytes()[:352].replace(b"n+1\0", b"ni1\0")
    (tmp_path / "a.hdr").write_bytes(header)
    (tmp_path / "a.img").write_bytes(LABELS.tobytes())
    with pytest.raises(InputError, match=r"a\.hdr: it is neither NIfTI \(\.nii, \.nii\.gz\), NRRD nor MetaImage"):
        read_mask(tmp_path / "a.hdr")


def test_house_21_the_mhd_and_nhdr_masks_of_2_folders_are_compared(tmp_path):
    from prostate_seg.evaluation import evaluate_folders

    for folder in ("p", "r"):
        (tmp_path / folder).mkdir()
        for name in ("one", "two"):
            (tmp_path / folder / f"{name}.raw").write_bytes(LABELS.T.tobytes())
        (tmp_path / folder / "one.nhdr").write_text(
            "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\n" + LPS + "encoding: raw\ndata file: one.raw\n"
        )
        (tmp_path / folder / "two.mhd").write_text(
            "NDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nElementSpacing = 1 1 2\n"
            "DimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = two.raw\n"
        )
    rows = evaluate_folders(tmp_path / "p", tmp_path / "r")
    assert [(row.case, row.metrics.dice) for row in rows] == [("one", 1.0), ("two", 1.0)]


def test_g8_a_header_of_20_bytes_is_damaged(tmp_path):
    (tmp_path / "a.nii").write_bytes(struct.pack("<i", 348) + bytes(16))
    both(tmp_path / "a.nii", "damaged")
