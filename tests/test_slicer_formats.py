"""What the Slicer module asks ``export`` for, without Slicer."""

import importlib.util
import shutil
import sys
import zipfile
from types import ModuleType

import pytest

from prostate_seg.cli import main
from prostate_seg.writing.dicom.ultrasound import write_us


@pytest.fixture
def logic(repository, monkeypatch):
    """The module's logic, where Slicer and VTK are empty modules."""
    for name in ("slicer", "vtk"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name in ("ctk", "qt", "slicer.ScriptedLoadableModule"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.spec_from_file_location("ProstateSegAlone", repository / "slicer" / "ProstateSeg.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ProstateSegLogic(scene=object())


def test_house_15_a_nifti_study_is_exported_to_three_files_without_dicom(logic, nifti_case, tmp_path):
    formats = logic.formats(str(nifti_case[0]))
    assert not set(formats) & {"dicom-seg", "dicom-probability", "rtstruct", "us-series"}
    command = logic.exportCommand(
        "prostate-seg", str(nifti_case[1]), str(nifti_case[0]), str(tmp_path), formats=formats
    )
    assert main(command[1:]) == 0
    there = sorted(path.name for path in (tmp_path / "scan_label").iterdir())
    assert there == ["ctv.nii.gz", "ctv.stl", "manifest.json", "report.html"]


def test_house_15_dicom_is_known_by_its_content_in_a_file_a_folder_and_a_zip(logic, small_phantom, tmp_path):
    (path,) = write_us(small_phantom.image, tmp_path / "study" / "deep", kind="multiframe")
    bare = shutil.move(path, path.with_name("IM0001"))
    (tmp_path / "study" / "notes.txt").write_text("nothing")
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        archive.write(bare, "a/IM0001")
    for given in (bare, tmp_path / "study", tmp_path / "study.zip"):
        assert "dicom-seg" in logic.formats(str(given))
    (tmp_path / "damaged.zip").write_bytes(b"PK\x05\x06" + bytes(5))
    for given in (tmp_path / "study" / "notes.txt", tmp_path / "damaged.zip", tmp_path / "absent"):
        assert "dicom-seg" not in logic.formats(str(given))
