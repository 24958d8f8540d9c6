"""A disk that fills while any format is written: one sentence, the old results as they were."""

import os
import subprocess
import sys

import pytest

FULL_DISK = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from judges import study
from prostate_seg.errors import OutputError
from prostate_seg.system.atomic import replacing_folder
from prostate_seg.writing.formats import write_formats
from prostate_seg.writing.request import Request

folder, limit, formats = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
values = np.random.default_rng(0).random((80, 60, 12), dtype=np.float32)
contoured = replace(study(folder, "multiframe", probability=values).contoured, structures={})
for name in formats:  # loads the libraries, which must not meet the limit
    write_formats(folder / "free", Request(contoured, (name,)))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for name in formats:
    try:
        with replacing_folder(folder / "out" / "case") as partial:
            write_formats(partial, Request(contoured, (name,)))
        print(name, "was written")
    except OutputError as error:
        print(name, "|", error)
"""
FORMATS = {
    "nifti": "ctv.nii.gz",
    "seg-nrrd": "ctv.seg.nrrd",
    "nrrd": "trus.nrrd",
    "png": "overlay.png",
    "dicom-seg": "ctv_seg.dcm",
    "dicom-probability": "ctv_probability.dcm",
    "rtstruct": "ctv_rtstruct.dcm",
    "us-series": "us_0001.dcm",
    "stl": "ctv.stl",
    "vtk": "ctv.vtk",
    "uncertainty": "uncertainty.nii.gz",
    "slicer": "TRUS.nrrd",  # the first part of the scene
}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("limit", [10, 400])
def test_d2_a_disk_that_takes_only_10_or_400_bytes_gives_one_sentence_a_format_and_leaves_nothing(
    repository, tmp_path, limit
):
    (tmp_path / "free").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path, str(limit), *FORMATS],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "tests")])},
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(FORMATS), done.stdout + done.stderr
    for line, (name, file) in zip(lines, FORMATS.items(), strict=True):
        assert line.startswith(f"{name} | ")
        assert file in line
        assert "File too large" in line or "not all of it was stored" in line
        assert "Traceback" not in line
        assert len(line) < 250 + len(str(tmp_path))
    assert os.listdir(tmp_path / "out") == []
    assert done.stderr == ""


PREPARE = """
import resource, sys
import monai
from prostate_seg.cli import main
import prostate_seg.training.prepare, prostate_seg.training.export_cases, matplotlib.figure
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
sys.exit(main(["prepare", sys.argv[1], "-o", sys.argv[2]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.slow
def test_a_disk_that_fills_at_the_second_case_of_prepare_keeps_the_first_and_the_rest_is_made_later(tmp_path):
    from exports import study

    def prepared(limit):
        command = [sys.executable, "-c", PREPARE, tmp_path / "export", tmp_path / "data", str(limit)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    study(tmp_path / "export", 1)
    assert prepared(10**9).returncode == 0
    before = (tmp_path / "data" / "datalist.json").read_bytes()
    study(tmp_path / "export", 2)
    full = prepared(3000)
    assert full.returncode != 0
    assert "Traceback" not in full.stderr
    assert "not all of it was stored; give a folder that can be written and has space" in full.stderr
    assert (tmp_path / "data" / "datalist.json").read_bytes() == before
    assert len(list((tmp_path / "data" / "records").glob("*.json"))) == 1
    assert not [path for path in (tmp_path / "data").rglob("*") if ".partial" in path.name]
    assert prepared(10**9).returncode == 0
    assert (tmp_path / "data" / "datalist.json").read_text().count('"image"') == 2
