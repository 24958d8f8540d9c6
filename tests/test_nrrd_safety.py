"""Headers of NRRD and MetaImage that name other files: nothing but a plain file beside the header is read."""

import os
import sys
import zipfile

import numpy as np
import pytest

from prostate_seg.errors import InputError
from prostate_seg.reading.cases import read
from prostate_seg.reading.masks import read_mask

SHAPE = (6, 5, 4)  # 120 voxels
SECRET = bytes(range(120))


def nhdr(name, line=None):
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 6 5 4\nspacings: 1 1 2\nencoding: raw\n"
    return head + (line or f"data file: {name}\n")


def mhd(name):
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 1 2\nDimSize = 6 5 4\n"
    return f"{head}ElementType = MET_UCHAR\nElementDataFile = {name}\n"


HEADERS = {".nhdr": nhdr, ".nrrd": nhdr, ".mhd": mhd, ".mha": mhd}


def both(path):
    """What the readers of images and of masks say about a file."""
    texts = []
    for reader in (read, read_mask):
        with pytest.raises(InputError) as error:
            reader(path)
        texts.append(str(error.value))
    return texts


@pytest.fixture
def study(tmp_path):
    """A folder with 120 secret bytes beside it."""
    (tmp_path / "secret.bin").write_bytes(SECRET)
    (tmp_path / "study").mkdir()
    return tmp_path / "study"


@pytest.mark.parametrize("suffix", HEADERS)
def test_s1_120_bytes_of_a_file_elsewhere_are_read_neither_as_image_nor_as_mask(study, suffix):
    names = [str(study.parent / "secret.bin"), "../secret.bin", "./../secret.bin", f"../{study.name}/../secret.bin"]
    for name in names:
        (study / f"a{suffix}").write_text(HEADERS[suffix](name))
        for text in both(study / f"a{suffix}"):
            assert "expected the plain name of one file in the same folder" in text
            assert "secret" not in text


@pytest.mark.parametrize("suffix", HEADERS)
def test_s1_lists_and_patterns_of_4_slices_are_refused(study, suffix):
    for number in range(1, 5):
        (study / f"s{number}.raw").write_bytes(SECRET[:30])
    names = [
        "s%d.raw 1 4 1",
        "s%01d.raw 1 4 1 2",
        "%n%n%s",
        "LIST\ns1.raw\ns2.raw\ns3.raw\ns4.raw",
        "LIST 2D\ns1.raw",
    ]
    for name in names:
        (study / f"a{suffix}").write_text(HEADERS[suffix](name))
        for text in both(study / f"a{suffix}"):
            assert "a path, a pattern or a list" in text


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_s1_in_a_zip_a_header_that_names_a_file_of_the_computer_gives_1_sentence(study, suffix):
    for name in (str(study.parent / "secret.bin"), "../secret.bin", "LIST\n/etc/hostname"):
        with zipfile.ZipFile(study / "a.zip", "w") as archive:
            archive.writestr(f"x/a{suffix}", HEADERS[suffix](name))
        with pytest.raises(InputError, match="expected the plain name of one file"):
            read(study / "a.zip")


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".nhdr", nhdr("", "DATA FILE: ok.raw\ndatafile: ../secret.bin\n")),
        (".nhdr", nhdr("", "data file: ok.raw\rdata file: ../secret.bin\n")),
        (".nhdr", nhdr("", "data file: ok.raw\nspacings: 2 2 2\n")),
        (".mhd", mhd("ok.raw").replace("NDims", "ElementDataFile = ../secret.bin\nNDims")),
        (".mhd", mhd("ok.raw\rElementDataFile = ../secret.bin")),
        (".mhd", mhd("ok.raw").replace("DimSize", "elementdatafile = ../secret.bin\nDimSize")),
        (".mhd", mhd("ok.raw").replace("DimSize", "DimSize = 1 1 1\nDimSize")),
    ],
)
def test_s1_a_header_with_2_answers_is_refused(study, suffix, text):
    (study / "ok.raw").write_bytes(SECRET)
    (study / f"a{suffix}").write_text(text, newline="")
    both(study / f"a{suffix}")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_s1_a_link_to_another_folder_is_refused_and_one_of_the_same_folder_read(study, suffix):
    (study / f"a{suffix}").write_text(HEADERS[suffix]("a.raw"))
    (study / "a.raw").symlink_to(study.parent / "secret.bin")
    assert all("a link to another folder" in text for text in both(study / f"a{suffix}"))
    (study / "a.raw").unlink()
    (study / "b.raw").write_bytes(SECRET)
    (study / "a.raw").symlink_to("b.raw")
    np.testing.assert_array_equal(read(study / f"a{suffix}").array.ravel(order="F"), range(120))


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_c2_a_named_pipe_as_data_file_is_refused_without_waiting_for_its_first_byte(study, suffix):
    (study / f"a{suffix}").write_text(HEADERS[suffix]("a.raw"))
    os.mkfifo(study / "a.raw")
    assert all("no regular file of its own" in text for text in both(study / f"a{suffix}"))


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_s1_a_plain_file_beside_the_header_gives_its_120_voxels_also_in_a_zip(study, suffix):
    (study / f"a{suffix}").write_text(HEADERS[suffix]("my voxels.raw"))
    (study / "my voxels.raw").write_bytes(SECRET)
    np.testing.assert_array_equal(read(study / f"a{suffix}").array.ravel(order="F"), range(120))
    with zipfile.ZipFile(study / "a.zip", "w") as archive:
        for name in (f"a{suffix}", "my voxels.raw"):
            archive.write(study / name, f"x/{name}")
    np.testing.assert_array_equal(read(study / "a.zip").array.ravel(order="F"), range(120))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("NDims", value) for value in ("-1", "2147483648", "1e308", "5", "0", "nan", "%n")),
        *(("DimSize", value) for value in ("-6 5 4", "6 5", "6 5 1e308", "99999999999 99999999999 9", "%n 5 4")),
        *(("ElementSpacing", value) for value in ("1 1 1e308", "1 1 nan", "1 1 -2", "1 1 0", "1 1", "inf 1 1")),
        *(("ElementType", value) for value in ("MET_STRING", "MET_NONE", "%s")),
        *(("ElementNumberOfChannels", value) for value in ("-1", "0", "4294967297")),
        *(("ElementSize", value) for value in ("1 1 nan", "1 1 x")),
        *(("Offset", value) for value in ("1 1 1e308", "nan 0 0", "0 0")),
        *(("TransformMatrix", value) for value in ("1 0 0 0 1 0 0 0 nan", "1 0 0", "0 0 0 0 0 0 0 0 0")),
        *(("HeaderSize", value) for value in ("-2", "1e308", "999999999999")),
        *(("CompressedData", value) for value in ("maybe",)),
    ],
)
def test_c2_a_metaimage_with_1_impossible_field_is_1_sentence(study, key, value):
    lines = mhd("LOCAL").splitlines()
    kept = [line for line in lines if not line.startswith(f"{key} =")]
    text = "\n".join([*kept[:-1], f"{key} = {value}", kept[-1], ""])
    (study / "a.mha").write_bytes(text.encode() + SECRET)
    for told in both(study / "a.mha"):
        assert told.endswith(".")
        assert "\n" not in told
        assert "ITK" not in told


@pytest.mark.parametrize("count", [100_000])
def test_c5_a_nrrd_of_100000_keys_is_1_sentence(study, count):
    keys = "".join(f"k{number}:=v\n" for number in range(count))
    (study / "a.nrrd").write_bytes((nhdr("", "\n")[:-1] + keys + "\n").encode() + SECRET)
    assert all("its header is longer than 1 MiB or 20000 lines" in text for text in both(study / "a.nrrd"))
