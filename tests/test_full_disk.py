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
