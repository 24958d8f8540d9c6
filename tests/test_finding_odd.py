"""Odd files among good ones: each is named with its reason, and the good ones are found."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pydicom
import pytest

from prostate_seg.errors import InputError
from prostate_seg.reading.cases import find_cases, read_case
from prostate_seg.reading.inspection import inspect_each, members_of
from prostate_seg.system import input_files
from prostate_seg.writing import write
from prostate_seg.writing.dicom.ultrasound import write_us


@pytest.fixture
def folder(tmp_path, nifti_case):
    """A folder with one good image."""
    (tmp_path / "in").mkdir()
    shutil.copy(nifti_case[0], tmp_path / "in")
    return tmp_path / "in"


def names_and_reasons(folder):
    cases, skipped = find_cases([folder])
    assert [case.name for case in cases] == ["scan"]
    return {skip.name: skip.reason for skip in skipped}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_c2_a_named_pipe_is_skipped_with_its_reason_and_not_opened(folder):
    os.mkfifo(folder / "pipe.mha")
    assert names_and_reasons(folder) == {"pipe.mha": "a named pipe or a device, expected a file"}


def test_c3_a_dicom_file_of_an_unknown_class_stops_nothing(folder, small_phantom, tmp_path):
    file = write_us(small_phantom.image, tmp_path / "us")[0]
    dataset = pydicom.dcmread(file)
    dataset.SOPClassUID, dataset.Modality = "1.2.3.4.5", "OT"
    dataset.save_as(folder / "odd.dcm")
    assert "not ultrasound" in names_and_reasons(folder)["in"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xff"),
        lambda data: data[:-30],
        lambda data: data.replace(b"scan.nii.gz", b"\xff\xfe\xfd\x80.nii.gz"),
    ],
    ids=["version", "cut", "names"],
)  # fmt: skip
def test_c3_a_zip_that_cannot_be_read_stops_nothing(folder, tmp_path, damage):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(folder / "scan.nii.gz", "scan.nii.gz")
    (folder / "a.zip").write_bytes(damage((tmp_path / "a.zip").read_bytes()))
    cases, skipped = find_cases([folder])
    assert "scan" in [case.name for case in cases]
    assert len(cases) + len(skipped) == 2


def test_c3_a_path_of_5000_characters_is_one_sentence(folder):
    with pytest.raises(InputError, match=r"^x{80}: no such file or folder"):
        find_cases([folder, "x" * 5000])


def test_c4_a_member_that_unpacks_to_more_than_the_memory_is_refused_before_it_is_unpacked(folder, tmp_path):
    bomb = zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED)
    with bomb, bomb.open("bomb.dcm", "w", force_zip64=True) as member:
        member.write(b"\0" * 128 + b"DICM")
        for _ in range(1700):
            member.write(bytes(1 << 20))
    assert "unpacks to 1.7 GB, expected at most 1.5 GB" in names_and_reasons(folder)["bomb.dcm"]


def test_c5_a_zip_of_2000_files_is_opened_once(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(2000):
            archive.writestr(f"notes/{number}.txt", "not an image")
    opened = []
    monkeypatch.setattr(input_files, "ZipFile", lambda path: opened.append(path) or zipfile.ZipFile(path))
    members, reason = members_of(tmp_path / "many.zip")
    assert (len(members), reason) == (2000, "")
    assert {finding.verdict for finding in inspect_each(members)} == {"unknown"}
    assert len(opened) == 1


def test_d6_a_linked_folder_a_link_to_nothing_and_a_nested_zip_are_named(folder, tmp_path):
    (folder / "linked").symlink_to(tmp_path)
    (folder / "gone.nii").symlink_to(tmp_path / "nothing.nii")
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with zipfile.ZipFile(folder / "outer.zip", "w") as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
    assert names_and_reasons(folder) == {
        "linked": "a link to a folder, not followed; give the folder itself",
        "gone.nii": "a link to nothing, expected a file",
        "inner.zip": "a zip inside a zip; unpack it first",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_d6_a_folder_that_may_not_be_read_is_named(folder, repository):
    (folder / "secret").mkdir(mode=0)
    code = (
        "import os, sys\nimport prostate_seg.reading.cases\n"
        "if os.getuid() == 0:\n    os.chmod(sys.argv[2], 0o755); os.chmod(sys.argv[1], 0o755)\n"
        "    from prostate_seg.system.guard import guarded; guarded(abs, 1); os.setegid(65534); os.seteuid(65534)\n"
        "print(*prostate_seg.reading.cases.find_cases([sys.argv[1]])[1])"
    )
    for parent in folder.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(folder.parent)],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "name='secret', reason='a folder that cannot be read (Permission denied)'" in done.stdout, done.stderr


def test_g1_a_series_beside_a_damaged_dicom_file_is_refused_by_its_name(small_phantom, tmp_path):
    files = write_us(small_phantom.image, tmp_path / "us", kind="series-without-positions")
    files[3].write_bytes(files[3].read_bytes()[:200])
    cases, skipped = find_cases([tmp_path / "us"])
    assert [len(case.files) for case in cases] == [7]
    assert [skip.name for skip in skipped] == [files[3].name]
    with pytest.raises(InputError, match=f"{files[3].name} among its 7 files cannot be read"):
        read_case(cases[0], frame_spacing_mm=5.0)


def test_s2_a_file_that_kills_the_decoder_is_one_case_refused_and_the_next_one_is_read(folder, tmp_path):
    (folder / "killer.mha").write_text("ObjectType = Image\nNDims = 2147483648\nElementDataFile = LOCAL\n")
    cases, _ = find_cases([folder])
    for case in cases:
        if case.name == "killer":
            with pytest.raises(InputError, match=r"^killer: "):
                read_case(case)
        else:
            assert read_case(case).array.shape == (80, 60, 8)


def test_the_limits_are_options_of_segment(folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "prostate_seg", "segment", folder, "-o", tmp_path / "out", "--read-seconds", "-1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "prostate-seg: The limit of seconds for reading is -1, expected more than 0.\n",
    )


def test_a_hidden_folder_is_not_looked_at(folder, small_phantom):
    (folder / ".half").mkdir()
    write(small_phantom.image, folder / ".half" / "other.nii.gz")
    assert names_and_reasons(folder) == {}
