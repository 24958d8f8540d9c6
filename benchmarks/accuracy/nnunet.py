"""The real nnU-Net on the same folds, for the same minutes; its masks stand beside those of the other networks.

    python3 -m venv NNUNET && NNUNET/bin/pip install torch==2.13.0 nnunetv2==2.8.1
    NNUNET/bin/python benchmarks/accuracy/nnunet.py --data FOLDER -o RUNS [--minutes 6] [--folds 0 1]
    python -m benchmarks.accuracy --data FOLDER -o RUNS --networks ... --others nnunetv2

The script runs in an environment of its own and imports nothing from prostate_seg.

Fingerprint, plans (3d_fullres), preprocessing, augmentation, network, loss, optimiser and mirrored prediction are
those of nnU-Net. Only the length of the training differs: a budget of CPU time (of all cores together) replaces the
1000 epochs of 250 steps. The polynomial decay of the learning rate spans this budget. On a CPU, nnU-Net computes in
float32.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import time
from importlib.metadata import version
from pathlib import Path

import torch

DATASET = "Dataset001_TRUS"
if torch.version.cuda is None and "+cpu" not in version("torchvision"):
    # torchvision for CUDA cannot load its operators with a CPU torch; only the import of nnU-Net needs one
    _OPERATORS = torch.library.Library("torchvision", "DEF")
    _OPERATORS.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def prepare(data: Path, work: Path, rows: list[dict[str, str]]) -> None:
    """Write nnU-Net's raw data, plans, preprocessed data and our folds, unless they exist."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    raw = work / "raw" / DATASET
    done = work / "preprocessed" / DATASET / "splits_final.json"
    if done.is_file():
        return
    shutil.rmtree(work, ignore_errors=True)
    for part in ("imagesTr", "labelsTr"):
        (raw / part).mkdir(parents=True)
    for row in rows:
        shutil.copy(data / "images" / f"{row['case']}.nii.gz", raw / "imagesTr" / f"{row['case']}_0000.nii.gz")
        shutil.copy(data / "labels" / f"{row['case']}.nii.gz", raw / "labelsTr" / f"{row['case']}.nii.gz")
    about = {"channel_names": {"0": "ultrasound"}, "labels": {"background": 0, "ctv": 1}, "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps(about | {"numTraining": len(rows)}), encoding="utf-8")
    api.extract_fingerprint_dataset(1, num_processes=1)
    plans = api.plan_experiments([1])
    api.preprocess_dataset(1, plans, configurations=("3d_fullres",), num_processes=(1,))
    folds = sorted({int(row["fold"]) for row in rows})
    splits = [
        {
            "train": [row["case"] for row in rows if int(row["fold"]) != fold],
            "val": [row["case"] for row in rows if int(row["fold"]) == fold],
        }
        for fold in folds
    ]
    done.write_text(json.dumps(splits), encoding="utf-8")


def train(work: Path, folder: Path, place: int, seconds: float) -> None:
    """Train on the split with index ``place`` in splits_final.json, and write the masks of its validation cases."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    home = work / "preprocessed" / DATASET
    plans = json.loads((home / "nnUNetPlans.json").read_text(encoding="utf-8"))
    about = json.loads((home / "dataset.json").read_text(encoding="utf-8"))
    plans["continue_training"] = False
    trainer = nnUNetTrainer(plans, "3d_fullres", place, about, torch.device("cpu"))
    trainer.on_train_start()
    trainer.network.train()
    spent, steps = 0.0, 0
    while spent < seconds:
        start = time.process_time()
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - spent / seconds) ** 0.9
        trainer.train_step(next(trainer.dataloader_train))
        spent, steps = spent + time.process_time() - start, steps + 1
    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
    predictor.manual_initialization(
        trainer.network, trainer.plans_manager, trainer.configuration_manager, [trainer.network.state_dict()],
        trainer.dataset_json, "nnUNetTrainer", trainer.inference_allowed_mirroring_axes,
    )  # fmt: skip
    names = json.loads((home / "splits_final.json").read_text(encoding="utf-8"))[place]["val"]
    masks = folder / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    images = [[str(work / "raw" / DATASET / "imagesTr" / f"{name}_0000.nii.gz")] for name in names]
    predictor.predict_from_files_sequential(images, [str(masks / name) for name in names])
    weights = sum(parameter.numel() for parameter in trainer.network.parameters())
    run = {"seconds": round(spent, 1), "steps": steps, "weights": weights}
    run["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # a process per fold
    (folder / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    print(f"{folder}: {steps} steps", flush=True)


def main() -> None:
    """Prepare the data once, then train every missing fold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--folds", nargs="+", type=int)
    options = parser.parse_args()
    work = options.output.resolve() / "nnunet_work"
    os.environ.update({f"nnUNet_{part}": str(work / part) for part in ("raw", "preprocessed", "results")})
    os.environ.update(nnUNet_n_proc_DA="1")
    with (options.data / "cases.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    prepare(options.data, work, rows)
    os.environ.update(nnUNet_n_proc_DA="0")  # augment in this process, so that its time is part of the budget
    folds = sorted({int(row["fold"]) for row in rows})
    for fold in options.folds or folds:
        folder = options.output / "nnunetv2" / f"fold{fold}"
        if not (folder / "run.json").is_file():
            train(work, folder, folds.index(fold), 60 * options.minutes)


if __name__ == "__main__":
    main()
