"""The page and the command line correct the same case: neither loses the other's hints; both can be collected."""

import json

import pytest

from prostate_seg import load_bundle, read
from prostate_seg.cases.session import Session
from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.geometry.hints import Hints, Point
from prostate_seg.inference.released import released_bundle
from prostate_seg.reading.acquisition import Acquisition
from prostate_seg.serve.keeping import hints_file, is_saved, keep, kept, save
from prostate_seg.system.digests import sha256_of_file
from prostate_seg.training.collect import collect


def refine(image, out, formats, *more):
    assert main(["refine", str(image), "-o", str(out), "--format", formats, *more]) == 0


def test_the_page_takes_up_2_hints_of_refine_and_refuses_if_it_has_1_that_refine_does_not_know(
    nifti_case, tmp_path
):
    volume = read(nifti_case[0])
    refine(nifti_case[0], tmp_path, "nifti,seg-nrrd,nrrd", "--apex", "3", "--base", "6")
    assert is_saved(tmp_path / "scan")
    assert len(kept(tmp_path, "scan", volume)) == 2
    x, y, z = (float(mm) for mm in volume.affine[:3, :3] @ (40, 25, 4) + volume.affine[:3, 3])
    keep(Hints((Point("inside", (x, y, z)),), volume.source.sha256), hints_file(tmp_path, "scan"))
    with pytest.raises(InputError, match="the case was refined since; move one of the two away"):
        kept(tmp_path, "scan", volume)


def test_a_folder_with_a_report_is_none_of_the_page(nifti_case, tmp_path):
    refine(nifti_case[0], tmp_path, "nifti,report", "--apex", "3")
    assert not is_saved(tmp_path / "scan")


def test_a_case_that_the_page_saved_with_1_hint_is_collected(nifti_case, tmp_path):
    volume = read(nifti_case[0])
    session = Session(volume, load_bundle(device="cpu"))
    x, y, z = (float(mm) for mm in volume.affine[:3, :3] @ (40, 25, 4) + volume.affine[:3, 3])
    session.add(Point("inside", (x, y, z)))
    save(session, tmp_path / "out" / "scan", Acquisition())
    hints = json.loads((tmp_path / "out" / "scan" / "manifest.json").read_text())["hints"]
    assert hints["network_sha256"] == sha256_of_file(released_bundle() / "models/hints.pt")
    assert collect([tmp_path / "out"], tmp_path / "data").taken == ("scan",)
