"""An ensemble by cross-validation: folds by patient, members in one bundle, segmented with by the command."""

import json
import os
import random
import subprocess
import sys

import pytest
import torch

from prostate_seg.cli import main
from prostate_seg.errors import SettingsError
from prostate_seg.inference.predictor import load_bundle
from prostate_seg.phantom import make_phantom
from prostate_seg.training.folds import _parts

pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    """Four cases of three patients."""
    from prostate_seg import write

    folder = tmp_path_factory.mktemp("folds")
    entries = []
    for seed, patient in ((3, "A"), (4, "A"), (5, "B"), (6, "C")):
        phantom = make_phantom(seed, shape=(60, 50, 8), spacing_mm=(1.6, 1.6, 5.0))
        write(phantom.image, folder / f"{seed}.nii.gz")
        write(phantom.truth, folder / f"{seed}_ctv.nii.gz")
        entries.append({"image": f"{seed}.nii.gz", "label": f"{seed}_ctv.nii.gz", "patient": patient})
    (folder / "cases.json").write_text(json.dumps({"training": entries[:3], "validation": entries[3:]}))
    return folder / "cases.json"


def test_every_case_validates_once_and_a_patient_is_never_on_both_sides(datalist):
    parts = _parts(datalist, 3)
    held = [case["case"] for part in parts for case in part["validation"]]
    assert sorted(held) == ["3", "4", "5", "6"]
    for part in parts:
        sides = [{case["patient"] for case in part[side]} for side in ("training", "validation")]
        assert not sides[0] & sides[1]
    with pytest.raises(SettingsError, match=r"2 to the number of patients \(3\), got 4"):
        _parts(datalist, 4)


def test_train_folds_gives_a_bundle_of_members_that_segments_with_a_pass_of_each(
    datalist, tiny_bundle, tmp_path, capsys
):
    run = ["train", "--data", str(datalist), "-o", str(tmp_path / "run"), "--bundle", str(tiny_bundle)]
    settings = [
        "--init",
        "none",
        "--epochs",
        "1",
        "--set",
        "val_interval=1",
        "--set",
        "batch_size=2",
        "--folds",
        "3",
    ]
    assert main([*run, *settings]) == 0
    bundle = tmp_path / "run" / "bundle"
    predictor = load_bundle(bundle)
    assert len(predictor.network.members) == 3
    assert predictor.info.name.endswith("_ensemble_of_3")
    assert "- member 2: " in (bundle / "docs" / "README.md").read_text()
    ctv, assessment = predictor.assess(make_phantom(7, shape=(60, 50, 8), spacing_mm=(1.6, 1.6, 5.0)).image)
    assert assessment.passes == 6  # 3 members and their mirror images
    assert ctv.labels.shape == (60, 50, 8)
    assert assessment.wrong is None  # four cases are too few for a score
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "run").glob("fold-*/bundle/models/model.pt"))]
    assert main([*run, *settings]) == 0  # finished folds are not run again
    again = [path.stat().st_mtime_ns for path in sorted((tmp_path / "run").glob("fold-*/bundle/models/model.pt"))]
    assert again == stamps
    assert main(["train", "-o", str(tmp_path / "none"), "--folds", "3"]) == 2
    assert "--folds parts the patients of a datalist; give --data" in capsys.readouterr().err


def test_hard_examples_change_the_sampler_after_the_first_look_and_a_resumed_run_keeps_its_weights(
    datalist, tiny_bundle, tmp_path
):
    import torch

    run = ["train", "--data", str(datalist), "-o", str(tmp_path), "--bundle", str(tiny_bundle), "--init", "none"]
    options = ["--epochs", "2", "--set", "val_interval=1", "--set", "batch_size=2", "--hard-examples", "1"]
    assert main([*run, *options]) == 0
    state = torch.load(tmp_path / "checkpoints" / "training_state.pt", weights_only=True)
    weights = state["sampler"]["weights"]
    assert sum(weights) == pytest.approx(1)
    assert max(weights) / min(weights) <= 4 + 1e-9
    assert main([*run, *options, "--hard-examples", "2"]) == 2


def test_a_fold_that_was_begun_with_other_cases_or_settings_stops(datalist, tiny_bundle, tmp_path, capsys):
    run = ["train", "--data", str(datalist), "-o", str(tmp_path / "run"), "--bundle", str(tiny_bundle)]
    settings = ["--init", "none", "--set", "val_interval=1", "--set", "batch_size=2", "--epochs"]
    assert main([*run, *settings, "1", "--folds", "2"]) == 0
    assert main([*run, *settings, "2", "--folds", "2"]) == 2
    assert main([*run, *settings, "1", "--folds", "3"]) == 2
    said = capsys.readouterr().err
    assert "tells of a run with other cases or settings" in said
    assert "plan.json was made for another training (folds 2," in said
    ensemble = ["--bundle", str(tmp_path / "run" / "bundle"), "--phantoms", "2"]
    assert main(["train", "-o", str(tmp_path / "more"), *ensemble]) == 2
    assert "holds an ensemble; train from one member" in capsys.readouterr().err


def process(arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "prostate_seg", *arguments], env=environment, **quiet)


@pytest.mark.slow
def test_folds_killed_at_random_moments_end_with_the_folds_and_the_weights_of_a_whole_run(
    datalist, tiny_bundle, tmp_path
):
    """The whole run takes about 50 s; four times the second one is killed after 12 to 20 s."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    chosen = ["--bundle", str(tiny_bundle), "--init", "none", "--folds", "3", "--epochs", "6"]
    for one in ("amp=false", "batch_size=1", "val_interval=2", "patience=0"):
        chosen += ["--set", one]
    assert process(["train", "--data", str(datalist), "-o", str(whole), *chosen]).wait() == 0
    drawn, kills, status = random.Random(0), 0, None
    while status is None:
        training = process(["train", "--data", str(datalist), "-o", str(parts), *chosen])
        try:
            status = training.wait(timeout=drawn.uniform(12, 20) if kills < 4 else None)
        except subprocess.TimeoutExpired:
            training.kill()
            training.wait()
            kills += 1
    assert status == 0
    assert kills > 0
    for fold in ("fold-0", "fold-1", "fold-2"):
        lists = [(run / fold / "datalist.json").read_bytes() for run in (whole, parts)]
        assert lists[0] == lists[1]
        one, other = (
            torch.load(run / fold / "checkpoints" / "model.pt", weights_only=True) for run in (whole, parts)
        )
        assert max(float((one[name] - other[name]).abs().max()) for name in one) <= 1e-5
