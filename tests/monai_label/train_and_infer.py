"""MONAI Label's own tasks: infer, train, infer again. Run by tests/test_monai_label.py.

    python train_and_infer.py BUNDLE STUDIES OUT OTHER

STUDIES is a datastore of images and final labels. What was seen is written to OUT as JSON. OTHER is an
image that is no ultrasound.
"""

import json
import shutil
import sys
from pathlib import Path

from monailabel.datastore.local import LocalDatastore
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask

EPOCHS = 12


def main(bundle: str, studies: str, out: str) -> None:
    folder = Path(out).parent
    store = LocalDatastore(studies, extensions=("*.nii.gz",))
    cases = sorted(store.list_images())

    def inferred(name: str) -> list[str]:
        found = []
        for case in cases:
            task = BundleInferTask(bundle, {"preload": "false"})  # as a server that was started anew
            file, _ = task({"device": "cpu", "image": store.get_image_uri(case), "model": "prostate"})
            kept = folder / f"{name}_{case}.nii.gz"
            shutil.move(file, kept)
            found.append(str(kept))
        return found

    before = inferred("before")
    train = BundleTrainTask(bundle, {})
    request = {"model": "prostate", "device": "cpu", "max_epochs": EPOCHS, "val_split": 0.5, "pretrained": True}
    once = train(request, store)
    after = inferred("after")
    BundleTrainTask(bundle, {})(request, store)
    refused = ""
    try:
        BundleInferTask(bundle, {"preload": "false"})({"device": "cpu", "image": sys.argv[4], "model": "prostate"})
    except Exception as error:
        refused = " ".join(str(part) for part in (error, error.__cause__, getattr(error, "__context__", "")))
    seen = {
        "cases": cases,
        "before": before,
        "after": after,
        "trained": once == {},
        "trained_again": (Path(bundle) / "checkpoints" / "training_state_before.pt").is_file(),
        "choices": BundleInferTask(bundle, {}).config()["model_filename"],
        "refused": refused,
    }
    Path(out).write_text(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:4])
