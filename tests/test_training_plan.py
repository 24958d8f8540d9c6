"""The plan of a training: settings found from its cases, written with reasons, edited, and kept."""

import json
import shutil

import pytest

from prostate_seg import SettingsError, write
from prostate_seg.cli import main
from prostate_seg.inference.released import released_bundle
from prostate_seg.phantom import make_phantom
from prostate_seg.training.plan_file import Purpose
from prostate_seg.training.proposal import proposal

pytestmark = pytest.mark.usefixtures("logging_as_before")
EPOCHS = "train::trainer::max_epochs"


@pytest.fixture(scope="module")
def ten_patients(tmp_path_factory):
    """Twelve cases of ten patients on one image, all for training."""
    folder = tmp_path_factory.mktemp("patients")
    phantom = make_phantom(8, shape=(60, 50, 8), spacing_mm=(1.0, 1.0, 5.0))
    write(phantom.truth, folder / "label.nii.gz")
    entries = []
    for number in range(12):
        write(phantom.image, folder / f"{number}.nii.gz")
        entries.append({"image": f"{number}.nii.gz", "label": "label.nii.gz", "patient": f"P{number % 10}"})
    (folder / "cases.json").write_text(json.dumps({"training": entries}))
    return folder / "cases.json", phantom


def found(datalist, run, *, purpose=None, **given):
    """The plan and the settings to train with."""
    return proposal(datalist, run, given, bundle=released_bundle(), purpose=purpose or Purpose())


def test_without_validation_cases_every_fifth_of_10_patients_is_held_back(ten_patients, tmp_path):
    datalist, _ = ten_patients
    plan, _ = found(datalist, tmp_path)
    assert plan.held_back == ["P4", "P9"]
    with plan.written(tmp_path / "run", datalist) as own:
        parted = json.loads(own.read_text())
    assert (len(parted["training"]), len(parted["validation"])) == (10, 2)
    assert {case["patient"] for case in parted["validation"]} == {"P4", "P9"}
    assert found(datalist, tmp_path, purpose=Purpose(folds=5))[0].held_back == []
    assert found(datalist, tmp_path, validation_phantoms=4)[0].held_back == []


def test_images_without_a_patient_are_held_back_by_their_place_beside_the_datalist(ten_patients, tmp_path):
    content = json.loads(ten_patients[0].read_text())
    for case in content["training"]:
        case["patient"] = None
    alone = ten_patients[0].with_name("alone.json")
    alone.write_text(json.dumps(content))
    assert found(alone, tmp_path)[0].held_back == ["2.nii.gz", "7.nii.gz"]


@pytest.mark.parametrize(
    ("purpose", "epochs"),
    [(Purpose(), 60), (Purpose(structures=True), 200), (Purpose(trained=False), 400), (Purpose(folds=2), 55)],
)
def test_10_of_12_cases_four_times_in_batches_of_4_are_10_steps_an_epoch_so_600_steps_are_60_epochs(
    ten_patients, tmp_path, purpose, epochs
):
    """A member of two folds has 6 cases, seven times: 11 steps an epoch."""
    plan, settings = found(ten_patients[0], tmp_path, purpose=purpose)
    assert (settings["batch_size"], settings[EPOCHS]) == (4, epochs)
    assert (settings["repeats"], settings["val_interval"]) == (7 if purpose.folds else 4, epochs // 12)
    assert settings["patience"] == 5
    assert {name: planned for name, (planned, _) in plan.reasons.items()} == settings


def test_what_is_given_stays_and_what_depends_on_it_follows(ten_patients, tmp_path):
    _, settings = found(ten_patients[0], tmp_path, **{EPOCHS: 24, "batch_size": 2})
    assert settings == {EPOCHS: 24, "batch_size": 2, "val_interval": 2, "patience": 5}
    assert "patience" not in found(ten_patients[0], tmp_path, **{EPOCHS: 4})[1]
    assert found(ten_patients[0], tmp_path, accumulation=3)[1]["repeats"] == 12  # of 10 cases: 10 steps of 12
    assert found(ten_patients[0], tmp_path, repeats=1)[1][EPOCHS] == 200  # 3 steps an epoch


def test_the_facts_are_those_of_the_masks(ten_patients, tmp_path):
    datalist, phantom = ten_patients
    cases = found(datalist, tmp_path)[0].cases
    assert (cases["cases"], cases["patients"]) == (12, 10)
    assert cases["median_spacing_mm"] == [1, 1, 5]
    assert cases["ctv_ml_range"] == [round(phantom.truth.volume_ml, 1)] * 3


def test_few_patients_are_remarked_if_some_are_held_back(ten_patients, tmp_path):
    content = json.loads(ten_patients[0].read_text())
    few = ten_patients[0].with_name("few.json")
    few.write_text(json.dumps({"training": content["training"][:3]}))
    assert any("3 patients are few" in one and "--folds 3" in one for one in found(few, tmp_path)[0].remarks)
    for plan, _ in (found(ten_patients[0], tmp_path), found(few, tmp_path, purpose=Purpose(folds=3))):
        assert not any("few" in one for one in plan.remarks)


@pytest.fixture
def planned(ten_patients, tmp_path, capsys):
    """A run with a plan, and a function that edits it."""
    run = tmp_path / "run"
    assert main(["train", "--data", str(ten_patients[0]), "-o", str(run), "--plan-only"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(run / "plan.json")
    assert "held back for validation, by patient: 'P4', 'P9'" in printed.err

    def edit(**parts):
        content = json.loads((run / "plan.json").read_text())
        for name, part in parts.items():
            content[name] = content[name] | part if isinstance(part, dict) else part
        (run / "plan.json").write_text(json.dumps(content))

    return run, edit


def test_an_edited_plan_is_used_and_what_depends_on_a_given_option_follows(ten_patients, planned):
    run, edit = planned
    edit(settings={"learning_rate": 0.0001, "batch_size": 2})
    plan, settings = found(ten_patients[0], run)
    assert (settings["learning_rate"], settings["batch_size"], settings[EPOCHS]) == (0.0001, 2, 60)
    assert "batch_size = 2: given" in plan.lines(settings)
    _, settings = found(ten_patients[0], run, **{EPOCHS: 5})
    assert settings == {"learning_rate": 0.0001, "batch_size": 2, EPOCHS: 5, "val_interval": 1}


def test_a_plan_of_other_cases_of_another_training_or_damaged_is_refused(ten_patients, planned):
    run, edit = planned
    datalist, _ = ten_patients
    other = datalist.with_name("other.json")
    other.write_text(datalist.read_text() + "\n")
    with pytest.raises(SettingsError, match=r"plan.json was made for another datalist; give that one, or remove"):
        found(other, run)
    with pytest.raises(SettingsError, match=r"was made for another training \(folds None, .*trained True\)"):
        found(datalist, run, purpose=Purpose(folds=5))
    edit(held_back=["P4", "P99"])
    with pytest.raises(SettingsError, match=r"plan.json holds back 'P99', of whom there is no case for training"):
        found(datalist, run)
    for damaged in ({"held_back": [4]}, {"remarks": None}, {"reasons": []}, {"settings": 5}):
        edit(**{"held_back": [], "remarks": []})
        content = json.loads((run / "plan.json").read_text())
        (run / "plan.json").write_text(json.dumps(content | damaged))
        with pytest.raises(SettingsError, match=r"plan.json is no plan of this program"):
            found(datalist, run)
        (run / "plan.json").write_text(json.dumps(content))


def test_a_plan_of_somebody_else_runs_no_code(ten_patients, planned, tmp_path):
    run, edit = planned
    evil = f"$open('{tmp_path / 'mark'}', 'w')"
    for value in (evil, [evil], {"_target_": "os.mkdir", "path": str(tmp_path / "mark")}, "%/etc/passwd"):
        edit(settings={"seed": value})
        with pytest.raises(SettingsError, match=r"plan.json gives .* as seed, expected a number, a word or a list"):
            found(ten_patients[0], run)
    assert not (tmp_path / "mark").exists()


def test_a_refused_option_changes_no_plan_and_leaves_none_behind(ten_patients, planned, tmp_path, capsys):
    before = (planned[0] / "plan.json").read_bytes()
    for run in (planned[0], tmp_path / "new"):
        arguments = ["train", "--data", str(ten_patients[0]), "-o", str(run)]
        assert main([*arguments, "--set", "learning_rate=-1"]) == 2
        assert "learning_rate is -1, expected a number from 0 to 1000" in capsys.readouterr().err
        assert main([*arguments, "--set", "lerning_rate=1", "--plan-only"]) == 2
        assert main([*arguments, "--set", "frozen=5"]) == 2
        assert "frozen is 5, expected parts" in capsys.readouterr().err
    assert (planned[0] / "plan.json").read_bytes() == before
    assert not (tmp_path / "new").exists()
    assert main(["train", "-o", str(tmp_path / "new"), "--plan-only"]) == 2
    assert "--plan-only plans from the cases of --data" in capsys.readouterr().err


def test_a_bundle_without_the_setting_patience_gets_no_patience(ten_patients, tiny_bundle, tmp_path):
    older = tmp_path / "older"
    shutil.copytree(tiny_bundle, older)
    config = json.loads((older / "configs" / "train.json").read_text())
    del config["patience"]
    (older / "configs" / "train.json").write_text(json.dumps(config))
    _, settings = proposal(ten_patients[0], tmp_path / "run", {}, bundle=older, purpose=Purpose())
    assert sorted(settings) == ["batch_size", "repeats", EPOCHS, "val_interval"]


def test_a_training_ends_after_2_validations_without_a_better_one_and_stays_ended(
    ten_patients, tiny_bundle, tmp_path, caplog
):
    """With a learning rate of 0 no epoch is better than the start weights."""
    arguments = ["train", "--data", str(ten_patients[0]), "-o", str(tmp_path / "run"), "--bundle", str(tiny_bundle)]
    arguments += ["--epochs", "9", "--set", "learning_rate=0", "--set", "patience=2", "--set", "val_interval=1"]
    assert main(arguments) == 0
    card = (tmp_path / "run" / "bundle" / "docs" / "README.md").read_text()
    assert "prostate-seg train --data cases.json --bundle prostate_us_segmenter --set batch_size=4 --set" in card
    assert "`batch_size`: 4 (4, or all cases if there are fewer)" in card
    rows = (tmp_path / "run" / "checkpoints" / "progress.csv").read_text().splitlines()
    assert len(rows) == 1 + 3  # header, start weights, two epochs
    assert main(arguments) == 0
    assert (tmp_path / "run" / "checkpoints" / "progress.csv").read_text().splitlines() == rows


def test_frozen_parts_keep_their_weights_and_unknown_ones_are_refused(ten_patients, tiny_bundle, tmp_path, capsys):
    import torch

    arguments = ["train", "--data", str(ten_patients[0]), "--bundle", str(tiny_bundle), "--epochs", "1"]
    frozen = ["--set", 'frozen=["encoder.patch_embed"]']
    assert main([*arguments, "-o", str(tmp_path / "run"), *frozen]) == 0
    before = torch.load(tiny_bundle / "models" / "model.pt", weights_only=True)
    after = torch.load(tmp_path / "run" / "checkpoints" / "training_state.pt", weights_only=True)["network"]
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert "patch_embed" not in changed
    assert "blocks" in changed
    assert main([*arguments, "-o", str(tmp_path / "none"), "--set", 'frozen=["encodr"]']) == 2
    assert "frozen names 'encodr', which is no part of the network" in capsys.readouterr().err
