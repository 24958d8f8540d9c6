"""Images and masks whose voxels are damaged, cut short or too many, and headers that promise too much."""

import gzip
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from prostate_seg.errors import InputError
from prostate_seg.reading.cases import read
from prostate_seg.reading.masks import read_mask

SHAPE = (14, 12, 10)
FORMATS = [".nii.gz", ".nrrd", ".mha", ".mhd"]


def made(path):
    """A compressed image with speckle; the file that holds its voxels."""
    array = np.random.default_rng(3).integers(0, 250, SHAPE).astype(np.uint8)
    if ".nii" in path.name:
        nib.save(nib.Nifti1Image(array, np.eye(4)), path)
        return path
    sitk.WriteImage(sitk.GetImageFromArray(array.transpose(2, 1, 0)), str(path), useCompression=True)
    return path.with_suffix(".zraw") if path.suffix == ".mhd" else path


def refused(path):
    for reader in (read, read_mask):
        with pytest.raises(InputError) as error:
            reader(path)
        assert str(error.value).endswith(".")
    return str(error.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_g2_each_of_40_flipped_bits_in_compressed_voxels_is_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    data = made(path)
    whole = data.read_bytes()
    for place in np.linspace(len(whole) * 0.45, len(whole) - 1, 40).astype(int):
        broken = bytearray(whole)
        broken[place] ^= 1 << (place % 8)
        data.write_bytes(broken)
        refused(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_g2_10_bytes_behind_the_compressed_voxels_and_10_missing_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    data = made(path)
    whole = data.read_bytes()
    for content in (whole + b"0123456789", whole[:-10]):
        data.write_bytes(content)
        assert "damaged or cut short" in refused(path)


def test_g2_a_nifti_of_2_gzip_members_and_zeros_behind_them_is_read(tmp_path):
    plain = gzip.decompress(made(tmp_path / "a.nii.gz").read_bytes())
    expected = read(tmp_path / "a.nii.gz").array
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(plain[:900]) + gzip.compress(plain[900:]) + bytes(512))
    np.testing.assert_array_equal(read(tmp_path / "b.nii.gz").array, expected)


def test_g2_a_nifti_with_1_byte_too_many_or_too_few_is_refused_with_both_numbers(tmp_path):
    plain = gzip.decompress(made(tmp_path / "a.nii.gz").read_bytes())
    for content, found in ((plain + b"x", 1681), (plain[:-1], 1679)):
        (tmp_path / "b.nii").write_bytes(content)
        assert f"holds {found} bytes of them, expected 1680 bytes" in refused(tmp_path / "b.nii")


def test_g2_text_and_hexadecimal_voxels_must_be_as_many_as_the_header_says(tmp_path):
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nspacings: 1 1 2\nencoding: {}\n\n"
    for encoding, text in (("ascii", "1 2 3 4 5 6 7 8"), ("hex", "0102030405060708")):
        path = tmp_path / f"{encoding}.nrrd"
        path.write_text(head.format(encoding) + text)
        assert read(path).array.ravel(order="F").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        for wrong in (text[:-2], text + " 09", text[:-1] + "x", text.replace("2", "900")):
            path.write_text(head.format(encoding) + wrong)
            assert "damaged or cut short" in refused(path)


@pytest.mark.parametrize("length", [30_000, 32_767])
def test_c4_a_nifti_that_declares_27_tb_is_refused_before_memory_is_asked_for(tmp_path, length):
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).header
    header["dim"][:4] = (3, length, length, 1000)
    header["vox_offset"] = 352
    raw = header.binaryblock + bytes(4) + bytes(8)
    (tmp_path / "a.nii").write_bytes(raw)
    assert "holds 8 bytes of them" in refused(tmp_path / "a.nii")
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(raw))
    assert "compressed bytes, which make at most" in refused(tmp_path / "a.nii.gz")


def test_c4_a_gzip_bomb_behind_8_voxels_is_not_unpacked(tmp_path):
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)).header
    header["vox_offset"] = 352
    bomb = gzip.compress(header.binaryblock + bytes(4) + bytes(1 << 28))  # 268 MB
    (tmp_path / "a.nii.gz").write_bytes(bomb)
    assert "holds more" in refused(tmp_path / "a.nii.gz")


def test_c4_an_nrrd_and_a_metaimage_that_declare_1_tb_are_refused(tmp_path):
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 10000 10000 10000\nspacings: 1 1 2\nencoding: {}\n\n"
    for encoding, body in (
        ("raw", bytes(8)),
        ("gzip", gzip.compress(bytes(8))),
        ("ascii", b"1 2"),
        ("hex", b"0102"),
    ):
        (tmp_path / "a.nrrd").write_bytes(head.format(encoding).encode() + body)
        assert "expected 1000000000000 bytes" in refused(tmp_path / "a.nrrd")
    head = (
        "NDims = 3\nBinaryData = True\nCompressedData = {}\nElementSpacing = 1 1 2\nDimSize = 10000 10000 10000\n"
    )
    for compressed, body in (("False", bytes(8)), ("True", zlib.compress(bytes(8)))):
        text = head.format(compressed) + "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
        (tmp_path / "a.mha").write_bytes(text.encode() + body)
        assert "expected 1000000000000 bytes" in refused(tmp_path / "a.mha")


def test_d3_a_damaged_mask_is_damaged_and_only_a_missing_one_is_missing(tmp_path):
    made(tmp_path / "a.mha")
    (tmp_path / "a.mha").write_bytes((tmp_path / "a.mha").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"^Cannot read the mask a\.mha: the image is damaged or cut short"):
        read_mask(tmp_path / "a.mha")
    with pytest.raises(InputError, match=r"^Cannot read the mask b\.mha: there is no such file\.$"):
        read_mask(tmp_path / "b.mha")


def test_d5_2_damaged_files_print_nothing_beside_the_sentence(tmp_path, capfd):
    for name in ("a.mha", "a.nii.gz"):
        made(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20])
        refused(tmp_path / name)
    image = nib.Nifti1Image(np.arange(8, dtype=np.uint8).reshape(2, 2, 2), np.eye(4))
    image.header["pixdim"][1:4] = -1  # nibabel warns of these
    nib.save(image, tmp_path / "b.nii")
    read(tmp_path / "b.nii")
    assert capfd.readouterr() == ("", "")
