"""What MONAI's model zoo asks of a bundle: the calls of its verification, and its overlays."""

import json
import os
import subprocess
import sys

import pytest
import torch
from monai.bundle import ckpt_export, verify_metadata, verify_net_in_out

from prostate_seg import load_bundle
from prostate_seg.training.progress import read_progress

METRICS = ("mean_dice", "mean_hd95_mm")


@pytest.fixture
def metadata(repository):
    return repository / "bundles" / "prostate_us_segmenter" / "configs" / "metadata.json"


def bundle_run(*arguments, folder, processes=0):
    command = ["-m", "monai.bundle", "run", *map(str, arguments)]
    if processes:
        several = ["--standalone", f"--nproc_per_node={processes}"]
        command = ["-m", "torch.distributed.run", *several, *command]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # so that one and two processes round alike
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=one_thread, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_the_metadata_name_the_official_schema_and_hold_to_the_copy_beside_them(metadata, tmp_path):
    """Where the filepath exists, MONAI reads it instead of the URL: so the check needs no network."""
    content = json.loads(metadata.read_text())
    assert content["schema"].startswith("https://github.com/Project-MONAI/")
    assert content["version"] in content["changelog"]
    assert set(content["eval_metrics"]) == set(METRICS)
    schema = metadata.parents[1] / "docs" / "metadata.schema.json"
    verify_metadata(meta_file=str(metadata), filepath=str(schema))
    damaged = tmp_path / "metadata.json"
    damaged.write_text(json.dumps(content | {"changelog": {}}))
    with pytest.raises(ValueError, match="should be non-empty"):
        verify_metadata(meta_file=str(damaged), filepath=str(schema))


def test_the_zoo_finds_the_files_that_it_looks_for(metadata):
    bundle = metadata.parents[1]
    for name in ("LICENSE", "configs/inference.json", "configs/train.json", "configs/evaluate.json",
                 "configs/multi_gpu_train.json", "configs/multi_gpu_evaluate.json", "models/model.pt"):  # fmt: skip
        assert (bundle / name).is_file(), name


def test_a_scripted_network_gives_the_logits_of_the_network_and_refuses_another_size(tiny_bundle, tmp_path):
    configs, file = tiny_bundle / "configs", tmp_path / "model.ts"
    ckpt_export(
        net_id="network_def", filepath=str(file), ckpt_file=str(tiny_bundle / "models" / "model.pt"),
        meta_file=str(configs / "metadata.json"), config_file=str(configs / "inference.json"),
        bundle_root=str(tiny_bundle),
    )  # fmt: skip
    scripted, network = torch.jit.load(str(file)), load_bundle(tiny_bundle).network
    image = torch.rand(3, 1, 48, 32, 16)
    with torch.inference_mode():
        torch.testing.assert_close(scripted(image), network(image), rtol=0, atol=1e-4)
        with pytest.raises(torch.jit.Error, match="images of one size"):
            scripted(image[:, :, :40])


def test_the_network_takes_and_gives_what_the_metadata_say(metadata):
    bundle = metadata.parents[1]
    verify_net_in_out(
        net_id="network_def", meta_file=str(metadata), config_file=str(bundle / "configs" / "inference.json"),
        device="cpu", bundle_root=str(bundle),
    )  # fmt: skip


@pytest.mark.slow
def test_evaluate_lies_on_train_as_well_as_on_inference(tiny_bundle, tmp_path):
    """Two phantoms; both ways give the same table."""
    configs = tiny_bundle / "configs"
    tables = []
    for base in ("train", "inference"):
        files = [str(configs / f"{name}.json") for name in (base, "evaluate")]
        status, output = bundle_run(
            "evaluating", "--config_file", files, "--bundle_root", tiny_bundle, "--phantoms", 2,
            "--output_dir", tmp_path / base, folder=tmp_path,
        )  # fmt: skip
        assert status == 0, output[-2000:]
        tables.append((tmp_path / base / "metrics.csv").read_text())
    assert tables[0] == tables[1]
    assert tables[0].count("\n") == 3


def trained(bundle, run, *options, overlay=(), processes=0, epochs=10):
    """Return losses, Dice and weights of float32 steps: 2 an epoch, of 4 phantoms by batches of 2."""
    files = [str(bundle / "configs" / f"{name}.json") for name in ("train", *overlay)]
    status, output = bundle_run(
        "training", "--config_file", files, "--bundle_root", bundle, "--ckpt_dir", run, "--model_dir", run,
        "--phantoms", 4, "--validation_phantoms", 2, "--val_interval", epochs, "--amp", False, "--batch_size", 2,
        "--train::trainer::max_epochs", epochs, *options, folder=run.parent, processes=processes,
    )  # fmt: skip
    assert status == 0, output[-2000:]
    rows = read_progress(run)
    weights = torch.load(run / "training_state.pt", weights_only=True)["network"]
    return [row["loss"] for row in rows if "loss" in row], rows[-1]["val_dice"], weights


@pytest.mark.slow
def test_the_losses_of_two_processes_are_those_of_one_within_1e_3_over_20_steps(tiny_bundle, tmp_path):
    """Where the Dice loss is of the cases of each process, they are farther apart; so is another seed."""
    losses, dice, _ = trained(tiny_bundle, tmp_path / "one")
    same, same_dice, _ = trained(tiny_bundle, tmp_path / "two", overlay=["multi_gpu_train"], processes=2)
    other, _, _ = trained(tiny_bundle, tmp_path / "other", "--train::dataset::seed", 1)
    assert len(losses) == 10
    assert same == pytest.approx(losses, abs=1e-3)
    assert max(abs(a - b) for a, b in zip(losses, other, strict=True)) > 1e-2
    assert same_dice == pytest.approx(dice, abs=1e-3)


@pytest.mark.slow
def test_two_batches_of_1_accumulated_make_the_steps_of_a_batch_of_2(tiny_bundle, tmp_path):
    """By cross entropy alone, whose mean over a batch is that of its parts; the Dice loss is of each part.

    The learning rate changes after each batch, so it differs a little.
    """
    alone = ["--loss::lambda_dice", 0.0, "--optimizer::_target_", "torch.optim.SGD"]
    _, _, whole = trained(tiny_bundle, tmp_path / "whole", *alone, epochs=3)
    _, _, parts = trained(tiny_bundle, tmp_path / "parts", *alone, "--batch_size", 1, "--accumulation", 2, epochs=3)
    _, _, single = trained(tiny_bundle, tmp_path / "single", *alone, "--batch_size", 1, epochs=3)
    assert farthest(whole, parts) < 0.5 * farthest(whole, single)


def farthest(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.slow
def test_two_processes_evaluate_to_the_table_of_one_and_refuse_a_single_case(tiny_bundle, tmp_path):
    def evaluated(name, *, overlay=(), processes=0, phantoms=3):
        files = [str(tiny_bundle / "configs" / f"{file}.json") for file in ("inference", "evaluate", *overlay)]
        return bundle_run(
            "evaluating", "--config_file", files, "--bundle_root", tiny_bundle, "--phantoms", phantoms,
            "--output_dir", tmp_path / name, folder=tmp_path, processes=processes,
        )  # fmt: skip

    overlay = ["multi_gpu_evaluate"]
    for name, options in (("one", {}), ("two", {"overlay": overlay, "processes": 2})):
        status, output = evaluated(name, **options)
        assert status == 0, output[-2000:]
    one, two = ((tmp_path / name / "metrics.csv").read_text() for name in ("one", "two"))
    assert one == two
    status, output = evaluated("few", overlay=overlay, processes=2, phantoms=1)
    assert status != 0
    assert "There are 1 cases for 2 processes; start 1 or fewer." in output
    status, output = evaluated("alone", overlay=overlay)
    assert status != 0
    assert "A configuration for several GPUs runs in torchrun" in output
