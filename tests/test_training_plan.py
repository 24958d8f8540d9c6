"""The plan of a training: settings found from its cases, written with reasons, edited, and kept."""

import json

import pytest

from prostate_seg import SettingsError, write
from prostate_seg.cli import main
from prostate_seg.inference.released import released_bundle
from prostate_seg.phantom import make_phantom
from prostate_seg.training.proposal import proposal, steps_needed

pytestmark = pytest.mark.usefixtures("logging_as_before")
EPOCHS = "train::trainer::max_epochs"
START = steps_needed(trained=True, structures=False)


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


def found(datalist, run, steps=START, folds=False, **given):
    return proposal(datalist, run, given, bundle=released_bundle(), steps=steps, folds=folds)


def test_without_validation_cases_every_fifth_of_10_patients_is_held_back(ten_patients, tmp_path):
    datalist, _ = ten_patients
    plan = found(datalist, tmp_path)
    assert plan.held_back == ["P4", "P9"]
    with plan.written(tmp_path / "run", datalist) as own:
        parted = json.loads(own.read_text())
    assert (len(parted["training"]), len(parted["validation"])) == (10, 2)
    assert {case["patient"] for case in parted["validation"]} == {"P4", "P9"}
    assert found(datalist, tmp_path, folds=True).held_back == []
    assert found(datalist, tmp_path, validation_phantoms=4).held_back == []


def test_10_cases_in_batches_of_4_are_3_steps_an_epoch_so_600_steps_are_200_epochs(ten_patients, tmp_path):
    plan = found(ten_patients[0], tmp_path)
    assert (plan.settings["batch_size"], plan.settings[EPOCHS]) == (4, 200)
    assert (plan.settings["val_interval"], plan.settings["patience"]) == (16, 5)
    assert plan.settings.keys() == plan.reasons.keys()


def test_what_is_given_stays_and_what_depends_on_it_follows(ten_patients, tmp_path):
    plan = found(ten_patients[0], tmp_path, **{EPOCHS: 24, "batch_size": 2})
    assert plan.settings == {EPOCHS: 24, "batch_size": 2, "val_interval": 2, "patience": 5}
    assert plan.reasons[EPOCHS] == "given"
    assert "patience" not in found(ten_patients[0], tmp_path, **{EPOCHS: 4}).settings


def test_the_facts_are_those_of_the_masks(ten_patients, tmp_path):
    datalist, phantom = ten_patients
    cases = found(datalist, tmp_path).cases
    assert (cases["cases"], cases["patients"]) == (12, 10)
    assert cases["median_spacing_mm"] == [1, 1, 5]
    assert cases["ctv_ml_range"] == [round(phantom.truth.volume_ml, 1)] * 3


def test_few_patients_and_coarse_images_are_remarked(ten_patients, tmp_path):
    content = json.loads(ten_patients[0].read_text())
    few = ten_patients[0].with_name("few.json")
    few.write_text(json.dumps({"training": content["training"][:3]}))
    assert any("3 patients are few" in one and "--folds 3" in one for one in found(few, tmp_path).remarks)
    assert not any("few" in one for one in found(ten_patients[0], tmp_path).remarks)


def test_a_plan_that_was_edited_is_used_and_one_of_other_cases_is_refused(ten_patients, tmp_path, capsys):
    datalist, _ = ten_patients
    run = ["train", "--data", str(datalist), "-o", str(tmp_path / "run"), "--plan-only"]
    assert main(run) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(tmp_path / "run" / "plan.json")
    assert "held back for validation, by patient: P4, P9" in printed.err
    file = tmp_path / "run" / "plan.json"
    content = json.loads(file.read_text())
    content["settings"]["learning_rate"] = 0.0001
    file.write_text(json.dumps(content))
    again = found(datalist, tmp_path / "run", **{EPOCHS: 7})
    assert (again.settings["learning_rate"], again.settings[EPOCHS]) == (0.0001, 7)
    other = datalist.with_name("other.json")
    other.write_text(datalist.read_text() + "\n")
    with pytest.raises(SettingsError, match=r"plan.json was made for another datalist; give that one, or remove"):
        found(other, tmp_path / "run")
    for damaged in ("{}", "[]", '{"settings": 1'):
        file.write_text(damaged)
        with pytest.raises(SettingsError, match=r"plan.json is no plan of this program"):
            found(datalist, tmp_path / "run")


def test_a_refused_training_leaves_no_plan_behind(ten_patients, tmp_path, capsys):
    arguments = ["train", "--data", str(ten_patients[0]), "-o", str(tmp_path / "run")]
    assert main([*arguments, "--set", "learning_rate=-1"]) == 2
    assert "learning_rate is -1, expected a number from 0 to 1000" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["train", "-o", str(tmp_path / "run"), "--plan-only"]) == 2
    assert "--plan-only plans from the cases of --data" in capsys.readouterr().err


def test_a_training_ends_after_2_validations_without_a_better_one_and_stays_ended(
    ten_patients, tiny_bundle, tmp_path, caplog
):
    """With a learning rate of 0 no epoch is better than the start weights."""
    arguments = ["train", "--data", str(ten_patients[0]), "-o", str(tmp_path / "run"), "--bundle", str(tiny_bundle)]
    arguments += ["--epochs", "9", "--set", "learning_rate=0", "--set", "patience=2", "--set", "val_interval=1"]
    assert main(arguments) == 0
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
