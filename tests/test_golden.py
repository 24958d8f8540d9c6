"""What the digests of golden files see and what they leave out; compared by ``python tests/golden.py``."""

import gzip

import nibabel
import numpy as np
from golden import of_nifti, of_nrrd

from prostate_seg.geometry.volume import Segmentation
from prostate_seg.system.source_digest import description_of, tag_of
from prostate_seg.writing import write


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
