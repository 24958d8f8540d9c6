"""A mask is handed over only with the image that it was drawn on, where anything says which one that is."""

import gzip
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from judges import study

from prostate_seg.cli import main
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.reading.masks import read_mask
from prostate_seg.system.source_digest import recorded_sources
from prostate_seg.writing import write

A, B = "a1" * 32, "b2" * 32
SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha")


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """Two patients' studies of one size and place: folders ``a`` and ``b``, and the first one's CTV."""
    folder = tmp_path_factory.mktemp("patients")
    for name, photometric in (("a", "MONOCHROME2"), ("b", "RGB")):
        made = study(folder / name, "multiframe", photometric=photometric)
        if name == "a":
            first = made
    digest = first.contoured.volume.source.sha256
    return folder / "a" / "source", folder / "b" / "source", replace(first.contoured.ctv, source_sha256=digest)


def export(*arguments):
    return main(["export", *map(str, arguments)])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_house_16_a_mask_saved_alone_goes_with_its_own_study_and_not_with_another_patient_s_of_equal_size(
    patients, suffix, tmp_path, capsys
):
    own, other, ctv = patients
    mask = tmp_path / f"alone{suffix}"
    write(ctv, mask)
    options = ("--frame-spacing", 4, "--format", "rtstruct,dicom-seg", "-o")
    assert export(mask, "--source", other, *options, tmp_path / "wrong") == 2
    told = capsys.readouterr().err
    assert "was drawn on another image than source" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "wrong").exists()
    assert export(mask, "--source", own, *options, tmp_path / "right") == 0
    assert "Nothing says" not in capsys.readouterr().err


def test_house_16_a_mask_that_says_nothing_is_exported_with_a_warning_in_its_manifest(patients, tmp_path, capsys):
    own, _, ctv = patients
    write(replace(ctv, source_sha256=""), tmp_path / "alone.seg.nrrd")
    arguments = (tmp_path / "alone.seg.nrrd", "--source", own, "--frame-spacing", 4, "--format", "seg-nrrd")
    assert export(*arguments, "-o", tmp_path / "out") == 0
    warnings = json.loads((tmp_path / "out" / "alone" / "manifest.json").read_text())["warnings"]
    assert sum("matched by their grid only" in text for text in warnings) == 1
    assert "matched by their grid only" in capsys.readouterr().err


@pytest.mark.parametrize("orientation", ["file", "assumed"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_house_16_every_format_carries_the_64_digits_and_they_come_back(suffix, orientation, tmp_path):
    labels = np.zeros((5, 4, 3), np.uint8)
    labels[1:3, 1:3, 1] = 1
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    mask = Segmentation(labels, affine, orientation=orientation, source_sha256=A)
    write(mask, tmp_path / f"x{suffix}")
    found = read_mask(tmp_path / f"x{suffix}")
    assert (found.source_sha256, found.orientation) == (A, orientation)
    assert recorded_sources(tmp_path / f"x{suffix}") == {0: A}


def test_house_16_without_the_digest_seg_nrrd_and_nifti_are_what_they_were_to_the_last_byte(tmp_path):
    mask = Segmentation(np.ones((5, 4, 3), np.uint8), np.eye(4))
    for name, digest in (("old", ""), ("new", A)):
        for suffix in (".seg.nrrd", ".nii.gz"):
            write(replace(mask, source_sha256=digest), tmp_path / f"{name}{suffix}")
    old, new = ((tmp_path / f"{name}.seg.nrrd").read_bytes() for name in ("old", "new"))
    assert old != new
    assert re.sub(rb"ProstateSeg\.SourceSHA256:[0-9a-f]{64}\|", b"", new) == old
    old, new = (gzip.decompress((tmp_path / f"{name}.nii.gz").read_bytes()) for name in ("old", "new"))
    assert old != new
    assert new[:148] + bytes(80) + new[228:] == old  # the description: 80 bytes from 148 on


def test_house_16_a_segment_copied_from_another_patient_is_named_and_its_neighbour_is_not(
    patients, tmp_path, capsys
):
    own, _, ctv = patients
    labels = ctv.labels.copy()
    labels[:3, :3, :3] = 2
    two = replace(ctv, labels=labels, names={1: "CTV", 2: "Blase Ü"})
    write(two, tmp_path / "two.seg.nrrd")
    content = (tmp_path / "two.seg.nrrd").read_bytes()
    tag = f"ProstateSeg.SourceSHA256:{ctv.source_sha256}|".encode()
    at = content.index(tag, content.index(tag) + 1)
    (tmp_path / "two.seg.nrrd").write_bytes(
        content[:at] + content[at:].replace(ctv.source_sha256.encode(), B.encode())
    )
    rest = ("--source", own, "--frame-spacing", 4, "--format", "nifti", "--segment")
    assert export(tmp_path / "two.seg.nrrd", *rest, "CTV", "-o", tmp_path / "ctv") == 0
    capsys.readouterr()
    assert export(tmp_path / "two.seg.nrrd", *rest, "Blase Ü", "-o", tmp_path / "other") == 2
    assert "The segment Blase Ü of two.seg.nrrd was drawn on another image" in capsys.readouterr().err


def test_house_16_a_case_s_trus_nrrd_goes_by_what_the_case_was_segmented_from(patients, tmp_path, capsys):
    _, _, ctv = patients
    case, alone = tmp_path / "case", tmp_path / "alone.seg.nrrd"
    case.mkdir()
    gray = np.random.default_rng(0).integers(20, 90, ctv.labels.shape, np.uint8)
    write(Volume(gray, ctv.affine), case / "trus.nrrd")
    write(ctv, alone)
    shutil.copy(alone, case / "ctv.seg.nrrd")
    rest = ("--source", case / "trus.nrrd", "--format", "stl", "-o")
    (case / "manifest.json").write_text(json.dumps({"input": {"sha256": ctv.source_sha256}}))
    assert export(alone, *rest, tmp_path / "one") == 0
    assert export(case, "--format", "stl", "-o", tmp_path / "two") == 0
    (case / "manifest.json").write_text(json.dumps({"input": {"sha256": B}}))
    capsys.readouterr()
    assert export(alone, *rest, tmp_path / "three") == 2
    assert export(case, "--format", "stl", "-o", tmp_path / "four") == 2
    assert capsys.readouterr().err.count("was drawn on another image than") == 2
    (case / "manifest.json").unlink()
    assert export(case, "--format", "stl", "-o", tmp_path / "five") == 0
    assert "matched by their grid only" in capsys.readouterr().err


def test_house_16_what_segment_writes_says_which_image_it_was_drawn_on(tiny_bundle, nifti_case, tmp_path):
    arguments = ["segment", nifti_case[0], "-o", tmp_path, "--bundle", tiny_bundle, "--tta", "none"]
    assert main(list(map(str, arguments))) == 0
    expected = json.loads((tmp_path / "scan" / "manifest.json").read_text())["input"]["sha256"]
    for name in ("ctv.seg.nrrd", "ctv.nii.gz"):
        assert recorded_sources(tmp_path / "scan" / name) == {0: expected}
