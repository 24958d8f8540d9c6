"""Bad input, bad options, bad places: one sentence on stderr, no traceback, nothing half-written."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import nibabel
import numpy as np
import pytest
import torch
from pydicom import dcmread
from pydicom.data import get_testdata_file

from prostate_seg import load_bundle
from prostate_seg.cli import main
from prostate_seg.system.digests import sha256_of_file
from prostate_seg.writing.dicom.ultrasound import ScannerConventions, write_us

REFUSED = {  # file -> what is told; each is a case that fails, exit 1
    "uncalibrated.dcm": "neither a 2D tissue region in cm in (0018,6011) Sequence of Ultrasound Regions",
    "gapless.dcm": "(0018,0088) Spacing Between Slices is missing); give the frame spacing in mm (--frame-spacing)",
    "cine.dcm": "the 8 frames increment by time ((0028,0009) Frame Increment Pointer",
    "black.dcm": "all 8 frames are black",
    "short.dcm": "bytes in (7FE0,0010) Pixel Data, expected 38400 for 8 frames of 80 x 60 pixels",
    "series (7 files)": "the slice gaps by (0020,0032) Image Position (Patient) are not uniform: 5.000, 10.000 mm",
    "nan.nii.gz": "NaN or infinite voxels",
    "four.nii.gz": "4-D, shape (80, 60, 8, 3); expected 3-D",
    "zero.nii.gz": "every voxel is 0",
    "none.nii.gz": "it is empty, shape (0",
    "metres.nii.gz": "measures 9.6e+04 x 7.2e+04 x 4e+04 mm, expected 1 to 1000 mm",
    "cut.nii.gz": "damaged or cut short: its file holds",
    "text.nii.gz": "the NIfTI file is damaged or cut short: it has no header",
    "cut.nrrd": "the image is damaged",
}
SKIPPED = {  # file -> why; no case of them, exit 2 on their own
    "text.txt": "neither DICOM, NIfTI, NRRD nor MetaImage by its content",
    "picture.png": "neither DICOM, NIfTI, NRRD nor MetaImage by its content",
    "text.dcm": "not a DICOM image: (0008,0016) SOP Class UID is missing",
    "ct.dcm": "not ultrasound ((0008,0060) Modality CT)",
    "cut.zip": "no zip that can be read (BadZipFile); pack it again",
}


@pytest.fixture(scope="module")
def bad(small_phantom, nifti_case, tmp_path_factory):
    """A folder of everything in REFUSED and SKIPPED, and good.nii.gz."""
    folder = tmp_path_factory.mktemp("bad")
    image = small_phantom.image
    for name, conventions in (
        ("uncalibrated", ScannerConventions(region=False)),
        ("gapless", ScannerConventions(frame_increment="none")),
        ("cine", ScannerConventions(frame_increment="time")),
        ("black", ScannerConventions()),
    ):
        write_us(image, folder / "made" / name, kind="multiframe", conventions=conventions)
        shutil.move(folder / "made" / name / f"{name}.dcm", folder / f"{name}.dcm")
    shutil.rmtree(folder / "made")
    whole = (folder / "black.dcm").read_bytes()
    (folder / "short.dcm").write_bytes(whole[: len(whole) // 2])
    dataset = dcmread(folder / "black.dcm")
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(folder / "black.dcm")
    write_us(image, folder / "series", kind="series")
    (folder / "series" / "us_0004.dcm").unlink()

    def nifti(name, array, affine=image.affine):
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / f"{name}.nii.gz")

    holed = image.array.astype(np.float32)
    holed[3, 3, 3] = np.nan
    nifti("nan", holed)
    nifti("four", np.stack([image.array] * 3, axis=-1))
    nifti("zero", np.zeros_like(image.array))
    nifti("none", np.zeros((0, 4, 4), np.uint8))
    nifti("metres", image.array, np.diag([1e3, 1e3, 1e3, 1.0]) @ image.affine)
    shutil.copy(nifti_case[0], folder / "good.nii.gz")
    (folder / "cut.nii.gz").write_bytes(nifti_case[0].read_bytes()[:5000])
    from prostate_seg import write

    write(image, folder / "cut.nrrd")
    (folder / "cut.nrrd").write_bytes((folder / "cut.nrrd").read_bytes()[:5000])
    for name in ("text.txt", "text.nii.gz", "text.dcm"):
        (folder / name).write_text("hello")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (folder / "cut.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    shutil.copy(get_testdata_file("CT_small.dcm"), folder / "ct.dcm")
    return folder


@pytest.fixture
def segment(tiny_bundle, capsys, tmp_path):
    """Runs ``segment INPUT... -o OUT``: (status, stdout, stderr)."""

    def with_arguments(*arguments, out=tmp_path / "out", bundle=tiny_bundle):
        given = [*arguments, "-o", out, "--bundle", bundle, "--tta", "none"]
        try:
            status = main(["segment", *map(str, given)])
        except SystemExit as left:
            status = left.code
        return status, *capsys.readouterr()

    return with_arguments


def test_of_15_cases_14_are_refused_each_in_one_line_and_the_good_one_is_done(segment, bad, tmp_path):
    inputs = [bad / name.removesuffix(" (7 files)") for name in REFUSED]
    status, out, err = segment(*inputs, bad / "good.nii.gz", "--format", "nifti")
    *lines, summary = [line for line in err.splitlines() if not line.startswith("  note: ")]
    assert status == 1
    assert len(lines) == 15
    assert summary.endswith(" s: 1 segmented, 14 failed; 1 with notes")
    for name, told in REFUSED.items():
        (line,) = [line for line in lines if f"failed: {name}: " in line]
        assert told in line
    assert os.listdir(tmp_path / "out") == ["good"]
    assert len(out.split()) == 2
    assert "Traceback" not in err


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_no_ultrasound_image_exits_2_and_makes_no_folder(segment, bad, tmp_path, name):
    status, out, err = segment(bad / name)
    assert (status, out) == (2, "")
    assert err.startswith(f"prostate-seg: {name}: nothing to segment ({name}: {SKIPPED[name]}")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_file_an_empty_folder_and_a_pipe_exit_2(segment, tmp_path):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, told in (
        ("absent.dcm", "no such file"),
        ("empty", "nothing to segment"),
        ("pipe", "neither a file nor"),
    ):
        status, _, err = segment(tmp_path / name)
        assert status == 2
        assert f"prostate-seg: {name}: {told}" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--frame-spacing", "0"], "The frame spacing is 0 mm, expected 0.01 to 100 mm"),
        (["--frame-spacing", "nan"], "The frame spacing is nan mm"),
        (["--frame-spacing", "x"], "invalid float value: 'x'"),
        (["--format", "nifti,tiff"], "--format has tiff, expected one or more of nifti"),
        (["--format", ","], "--format has nothing"),
        (["--overwrit"], "unrecognized arguments: --overwrit"),
        (["--jobs", "0"], "at least 1, got 0"),
        (["--frame-order", "up"], "invalid choice: 'up'"),
        ([""], "a path is empty"),
    ],
)
def test_a_wrong_option_exits_2_in_one_line(segment, bad, arguments, told):
    status, out, err = segment(bad / "good.nii.gz", *arguments)
    assert (status, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


def test_a_frame_spacing_of_3_mm_contradicts_a_file_of_5_mm(segment, bad):
    status, _, err = segment(bad / "good.nii.gz", "--frame-spacing", "3")
    assert status == 2
    assert "good.nii.gz: the frame spacing 3 mm contradicts 5 mm in the NIfTI sform or qform" in err


def test_debug_shows_the_traceback_of_a_failed_case(segment, bad):
    status, _, err = segment(bad / "zero.nii.gz", "--debug")
    assert status == 2
    assert "Traceback" in err


def test_a_place_below_a_file_cannot_be_written_and_nothing_is_attempted(segment, bad):
    for out in (bad / "text.txt", bad / "text.txt" / "out", "/dev/null/x"):
        status, _, err = segment(bad / "good.nii.gz", out=out)
        assert status == 2
        assert f"The output folder {out} cannot be written (Not a directory)" in err


def test_a_bundle_without_weights_or_with_corrupted_ones_exits_2(segment, bad, tiny_bundle, tmp_path):
    copy = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    weights = copy / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "model.pt cannot be read as weights" in segment(bad / "good.nii.gz", bundle=copy)[2]
    weights.unlink()
    status, _, err = segment(bad / "good.nii.gz", bundle=copy)
    assert status == 2
    assert "has no weights" in err
    assert not (tmp_path / "out").exists()


def test_weights_of_ones_own_are_used_and_missing_ones_exit_2(segment, bad, tiny_bundle, tmp_path):
    other = tmp_path / "other.pt"
    network = load_bundle(tiny_bundle, device="cpu").network
    torch.save({name: 0.5 * value for name, value in network.state_dict().items()}, other)
    status, _, err = segment(bad / "good.nii.gz", "--weights", other)
    assert status == 0, err
    (manifest,) = (tmp_path / "out").glob("*/manifest.json")
    bundle = json.loads(manifest.read_text())["bundle"]
    assert bundle["sha256"] == sha256_of_file(other)
    assert bundle["name"].endswith("with a user's weights")
    halved = load_bundle(tiny_bundle, weights=other, device="cpu").network.state_dict()
    torch.testing.assert_close(halved, {key: 0.5 * value for key, value in network.state_dict().items()})
    assert "There are no weights at typo.pt" in segment(bad / "good.nii.gz", "--weights", "typo.pt")[2]
    status, _, err = segment(bad / "good.nii.gz", "--weights", "phantoms", out=tmp_path / "none")
    assert status == 2
    assert "model_phantoms.pt is missing" in err


def test_on_a_full_disk_the_old_result_stays_and_no_format_is_half_written(segment, bad, tmp_path):
    """A limit of 600 bytes a file stands for the disk; the scan's smallest output is larger."""
    assert segment(bad / "good.nii.gz")[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in ("nifti", "seg-nrrd", "nrrd", "png"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
        try:
            status, _, err = segment(bad / "good.nii.gz", "--overwrite", "--format", name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert status == 2
        assert "failed: good.nii.gz: Cannot write " in err
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        assert os.listdir(tmp_path / "out") == ["good"]


@pytest.mark.parametrize(("own", "status"), [(False, -signal.SIGINT), (True, 1)])
def test_the_status_is_1_even_if_exec_of_a_string_is_interrupted(own, status, tmp_path):
    code = """
        import signal, sys
        from prostate_seg.cli import info, main

        def interrupted(options):
            if not OWN:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            exec("signal.raise_signal(signal.SIGINT)")

        info.run = interrupted
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
        sys.exit(main())
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(code).replace("OWN", str(own)))
    ended = subprocess.run(
        [sys.executable, "-m", "program", "info"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == status
    assert "interrupted; nothing is half-written" in ended.stderr


def test_ctrl_c_leaves_whole_cases_only(bad, tiny_bundle, tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.nii.gz").symlink_to(bad / "good.nii.gz")
    arguments = ["segment", tmp_path, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--tta", "none"]
    running = subprocess.Popen(
        [sys.executable, "-m", "prostate_seg", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a job in the background ignores it
    )
    until = time.monotonic() + 60
    while not (tmp_path / "out").exists() and time.monotonic() < until:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate()
    assert running.returncode == 1
    assert b"interrupted" in err
    assert b"Traceback" not in err
    left = os.listdir(tmp_path / "out")
    assert len(left) < 40
    assert all((tmp_path / "out" / name / "manifest.json").exists() for name in left)
