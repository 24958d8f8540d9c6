"""The verb ``train``: weights from your cases, or from phantoms."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import SettingsError
from .common import path
from .output import DONE, note, show, steps

HELP = "train on your cases, or on phantoms"
EXAMPLES = (
    "train --data cases.json -o runs/mine",
    "train --data cases.json -o runs/five --folds 5",
    "train --data cases.json -o runs/organs --structures urethra,bladder",
    "train -o runs/phantoms --init none --phantoms 640 --epochs 60",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("--data", type=path, help="datalist, or a folder of prepare; without it, phantoms")
    verb.add_argument("-o", "--output", type=path, required=True, help="folder of the run; resumes if it has one")
    verb.add_argument("--init", help="released (default), phantoms, none or a file")
    verb.add_argument(
        "--init-encoder",
        type=path,
        metavar="FILE",
        help="weights of another vision transformer (timm, DeiT, DINOv2, ViT-MAE): what fits starts the encoder, "
        "the rest is --init, here none by default",
    )
    verb.add_argument("--epochs", type=int, help="passes over the cases")
    verb.add_argument("--phantoms", type=int, help="how many phantoms to train on beside the cases")
    verb.add_argument(
        "--folds", type=int, metavar="K", help="an ensemble: K members, each without a Kth of the patients"
    )
    verb.add_argument(
        "--structures", metavar="NAMES|FILE", help="train these beside the CTV: names by commas, or a JSON list"
    )
    verb.add_argument("--hard-examples", type=float, metavar="SHARE", help="draw what is wrong more often (0 to 1)")
    verb.add_argument("--tracking", choices=("mlflow",), help="also record the run in OUTPUT/tracking")
    verb.add_argument("--bundle", type=path, help="bundle folder to start from (default the released one)")
    verb.add_argument("--trust", action="store_true", help="let the code in its train.json run")
    verb.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of train.json")


def run(options: argparse.Namespace) -> int:
    """Start a training, or resume one."""
    from ..training.card import Card
    from ..training.datalist import DATALIST
    from ..training.plan import Extra, plan
    from ..training.run import train
    from ..training.structures import check_alone

    if options.trust and options.bundle is None:
        raise SettingsError("--trust is about the bundle of --bundle; give both, or leave it out.")
    settings = dict(_setting(text) for text in options.set)
    if options.epochs is not None:
        settings["train::trainer::max_epochs"] = options.epochs
    if options.phantoms is not None:
        settings["phantoms"] = options.phantoms
    if options.hard_examples is not None:
        settings["hard_examples"] = options.hard_examples
    datalist = options.data / DATALIST if options.data and options.data.is_dir() else options.data
    init = options.init or ("none" if options.init_encoder else "released")
    chosen: dict[str, Any] = {"init": init, "bundle": options.bundle}
    chosen["extra"] = Extra(options.init_encoder, options.structures, options.tracking)
    chosen |= {"settings": settings, "trust": options.trust}
    check_alone(options.folds, options.structures)
    if options.folds is None:
        planned = plan(options.output, datalist=datalist, **chosen)
        for sentence in planned.start[1].sentences() if planned.start else ():
            note(f"{options.init_encoder.name}: {sentence}")
        with steps() as watch:
            bundle = train(planned, watch)
        note(Card.of(options.output, planned.bundle, planned.record).outcome)
    else:
        from ..training.folds import train_folds

        bundle = train_folds(options.output, datalist, options.folds, **chosen)
    show(bundle)
    note("Segment with it; compare it with the released weights on unseen cases:")
    for command in (
        f"segment INPUT -o OUT --bundle {bundle}{' --structures all' if options.structures else ''}",
        "segment INPUT -o RELEASED",
        "evaluate RELEASED LABELS -o BEFORE",
        "evaluate OUT LABELS -o AFTER",
        "compare BEFORE AFTER",
    ):
        note(f"  prostate-seg {command}")
    return DONE


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set takes NAME=VALUE, got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
