import json
import os
import subprocess
import sys

import numpy as np
import pytest

from prostate_seg.errors import OutputError
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.system.atomic import replacing, stored_array
from prostate_seg.system.digests import sha256_of_file, sha256_of_files
from prostate_seg.system.json_files import write_json
from prostate_seg.writing import write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_temporary_file_lies_beside_and_ends_in_the_whole_name(tmp_path):
    with replacing(tmp_path / "ctv.seg.nrrd") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith("ctv.seg.nrrd")
        assert temporary.name != "ctv.seg.nrrd"
        temporary.write_bytes(b"1")
    assert names(tmp_path) == ["ctv.seg.nrrd"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_that_was_there_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_an_absent_folder_and_a_folder_in_the_place_are_one_sentence(tmp_path):
    with (
        pytest.raises(OutputError, match=r"Cannot write b\.nii: there is no folder .*absent; create it"),
        replacing(tmp_path / "absent" / "b.nii"),
    ):
        pass
    (tmp_path / "taken.json").mkdir()
    with pytest.raises(OutputError, match=r"Cannot write taken\.json in .*: Is a directory; give a folder"):
        write_json(tmp_path / "taken.json", {})
    assert names(tmp_path) == ["taken.json"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied; give a folder that can be written"):
        write_json(tmp_path / "manifest.json", {})


FULL_DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from prostate_seg.errors import OutputError
from prostate_seg.writing import write
from prostate_seg.geometry.volume import Volume
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
noise = np.random.default_rng(0).integers(0, 255, (32, 32, 8), dtype=np.uint8)
try:
    write(Volume(noise, np.eye(4)), Path(sys.argv[1]))
except OutputError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.png"])
def test_a_disk_that_takes_only_2000_bytes_gives_an_error_and_no_file(tmp_path, name):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / name], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert done.stdout.startswith(f"Cannot write {name} in ")
    assert done.stdout.count("\n") == 1
    assert names(tmp_path) == []


def test_pixels_outside_the_field_of_view_are_black_in_what_is_stored():
    seen = np.zeros((2, 2, 2), bool)
    seen[0] = True
    stored = stored_array(Volume(np.full((2, 2, 2), 9, np.uint8), np.eye(4), field_of_view=seen))
    assert (stored.dtype, stored[0].min(), stored[1].max()) == (np.uint8, 9, 0)


@pytest.mark.parametrize(
    ("given", "stored"),
    [(bool, np.uint8), (np.float16, np.float32), (np.int64, np.int32), (np.uint64, np.int32)]
    + [(kind, kind) for kind in (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64)],
)
def test_each_type_is_stored_in_one_that_formats_know(given, stored):
    assert stored_array(Volume(np.ones((2, 2, 2), given), np.eye(4))).dtype == stored


def test_complex_numbers_and_integers_beyond_32_bits_are_refused():
    with pytest.raises(OutputError, match="holds complex128, expected real numbers"):
        stored_array(Volume(np.ones((2, 2, 2), complex), np.eye(4)))
    with pytest.raises(OutputError, match="0 to 4294967296, expected 32-bit integers"):
        stored_array(Volume(np.array([[[0, 2**32]]]), np.eye(4)))


def test_the_suffix_chooses_the_format(tmp_path):
    volume = Volume(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.eye(4))
    segmentation = Segmentation((volume.array > 10).astype(np.uint8), np.eye(4))
    for name, magic in {
        "a.nii": b"\x5c\x01\x00\x00",
        "a.nii.gz": b"\x1f\x8b",
        "a.nrrd": b"NRRD",
        "a.mha": b"ObjectType",
        "A.PNG": b"\x89PNG",
    }.items():
        write(volume, tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(magic)
    write(segmentation, tmp_path / "b.seg.nrrd")
    assert b"Segment0_Name:=CTV" in (tmp_path / "b.seg.nrrd").read_bytes()
    write(segmentation, tmp_path / "b.nrrd")
    assert b"Segment0_Name" not in (tmp_path / "b.nrrd").read_bytes()
    write(segmentation, tmp_path / "b.png", image=volume)
    assert (tmp_path / "b.png").read_bytes() != (tmp_path / "A.PNG").read_bytes()


def test_what_does_not_fit_the_suffix_is_refused_and_nothing_is_written(tmp_path):
    volume = Volume(np.zeros((2, 3, 4), np.uint8), np.eye(4))
    segmentation = Segmentation(np.zeros((2, 3, 4), np.uint8), np.eye(4))
    for item, name, image, text in [
        (volume, "a.docx", None, r"unknown suffix, expected \.nii, \.nii\.gz"),
        (volume, "a.seg.nrrd", None, r"\.seg\.nrrd holds a segmentation, got a volume"),
        (segmentation, "a.png", None, "a segmentation and image=, its volume"),
        (volume, "a.png", volume, "a picture takes a volume, or"),
        (segmentation, "a.nii", volume, r"only \.png, \.mrb and named formats take image="),
    ]:
        with pytest.raises(OutputError, match=text):
            write(item, tmp_path / name, image=image)
    assert names(tmp_path) == []


def test_a_manifest_has_sorted_keys_plain_numbers_and_a_newline(tmp_path):
    write_json(tmp_path / "m.json", {"b": np.float32(0.5), "a": np.arange(2), "c": (None, True, "µ")})
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"') < text.index('"c"')
    assert json.loads(text) == {"a": [0, 1], "b": 0.5, "c": [None, True, "µ"]}
    assert text.endswith("}\n")
    assert "µ" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("inf"), r"entry x\.y is inf, expected a finite number; JSON needs null"),
        (np.float32("nan"), r"entry x\.y is nan"),
        ([1.0, -float("inf")], r"entry x\.y\[1\] is -inf"),
        ({1: 2}, r"key 1 in x\.y is not text"),
        (object(), r"entry x\.y is a object, expected text, a number"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name_and_leaves_no_file(tmp_path, value, text):
    with pytest.raises(OutputError, match=text):
        write_json(tmp_path / "m.json", {"x": {"y": value}})
    assert names(tmp_path) == []


def test_the_digest_of_abc_is_the_standards_example(tmp_path):
    """FIPS 180-2, appendix B.1."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"abc")
    second.write_bytes(b"")
    assert sha256_of_file(first) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of_files([first, second]) != sha256_of_files([second, first])
    renamed = tmp_path / "3"
    renamed.write_bytes(b"abc")
    assert sha256_of_files([renamed, second]) == sha256_of_files([first, second])
