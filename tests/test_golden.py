"""Valid inputs give byte for byte what they gave before; the whole of it: ``python tests/golden.py``."""

import gzip
import subprocess
import sys

import nibabel
import numpy as np
import pytest
from golden import OTHER_HARDWARE, of_nifti, of_nrrd

from prostate_seg.geometry.volume import Segmentation
from prostate_seg.system.source_digest import description_of, tag_of
from prostate_seg.writing import write


def compare(repository, *options):
    command = [sys.executable, repository / "tests" / "golden.py", *options]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    if done.returncode == OTHER_HARDWARE:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_phantoms_0_and_1_as_nifti_give_the_same_files_as_before(repository):
    assert compare(repository, "--only", "nifti", "--seeds", "0", "1") == "2 cases are equal"


@pytest.mark.slow
def test_phantom_0_as_each_of_4_kinds_of_dicom_gives_the_same_files_as_before(repository):
    kinds = ("multiframe", "series", "series-without-positions", "enhanced-volume")
    assert compare(repository, "--only", *kinds, "--seeds", "0") == "4 cases are equal"


def test_a_digest_of_nifti_sees_one_voxel_and_one_header_field_but_no_source():
    plain, changed, sourced = (nibabel.Nifti1Image(np.zeros((4, 3, 2), np.uint8), np.eye(4)) for _ in range(3))
    sourced.header["descrip"] = description_of("0f" * 32)
    assert sourced.to_bytes() != plain.to_bytes()
    assert of_nifti(gzip.compress(sourced.to_bytes())) == of_nifti(plain.to_bytes())
    changed.header.set_xyzt_units("micron")
    assert of_nifti(changed.to_bytes()) != of_nifti(plain.to_bytes())
    voxel = plain.to_bytes()[:-1] + b"\1"
    assert of_nifti(voxel) != of_nifti(plain.to_bytes())


def test_a_digest_of_nrrd_sees_a_voxel_and_a_colour_but_no_line_and_no_tag_of_the_source(tmp_path):
    labels = np.zeros((4, 3, 2), np.uint8)
    labels[1, 1] = 1
    write(Segmentation(labels, np.eye(4)), tmp_path / "a.seg.nrrd")
    content = (tmp_path / "a.seg.nrrd").read_bytes()
    tagged = content.replace(b"Segment0_Tags:=", b"Segment0_Tags:=" + tag_of("0f" * 32).encode(), 1)
    lined = content.replace(b"\n\n", b"\nsource_sha256:=" + b"0f" * 32 + b"\n\n", 1)
    assert tagged != content != lined
    assert of_nrrd(tagged) == of_nrrd(lined) == of_nrrd(content)
    assert of_nrrd(content.replace(b"Segment0_Color:=", b"Segment0_Color:=0", 1)) != of_nrrd(content)
    labels[3, 2, 1] = 1
    write(Segmentation(labels, np.eye(4)), tmp_path / "b.seg.nrrd")
    assert of_nrrd((tmp_path / "b.seg.nrrd").read_bytes()) != of_nrrd(content)
