"""The verb ``train``: weights from your cases, or from phantoms."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from .common import path
from .output import DONE, note, show, steps

if TYPE_CHECKING:
    from ..training.proposal import Proposal

HELP = "train on your cases, or on phantoms"
EXAMPLES = (
    "train --data cases.json -o runs/mine",
    "train --data cases.json -o runs/mine --plan-only",
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
    verb.add_argument("--plan-only", action="store_true", help="write OUTPUT/plan.json, to read and edit, and stop")
    verb.add_argument("--trust", action="store_true", help="let the code in its train.json run")
    verb.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of train.json")


def run(options: argparse.Namespace) -> int:
    """Start a training, or resume one."""
    from ..training.datalist import DATALIST
    from ..training.plan import Extra
    from ..training.proposal import FILE
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
    check_alone(options.folds, options.structures)
    if options.plan_only and datalist is None:
        raise SettingsError("--plan-only plans from the cases of --data; give both.")
    with ExitStack() as stack:
        if datalist is not None:
            proposed = _proposal(options, datalist, settings, trained=init != "none")
            settings = proposed.settings
            datalist = stack.enter_context(proposed.written(options.output, datalist))
            if options.plan_only:
                show(options.output / FILE)
                return DONE
        chosen: dict[str, Any] = {"init": init, "bundle": options.bundle}
        chosen["extra"] = Extra(options.init_encoder, options.structures, options.tracking)
        chosen |= {"settings": settings, "trust": options.trust}
        bundle = _trained(options, datalist, chosen)
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


def _trained(options: argparse.Namespace, datalist: Path | None, chosen: dict[str, Any]) -> Path:
    """Train, and return the folder of the new bundle."""
    from ..training.card import Card
    from ..training.plan import plan
    from ..training.run import train

    if options.folds is None:
        planned = plan(options.output, datalist=datalist, **chosen)
        for sentence in planned.start[1].sentences() if planned.start else ():
            note(f"{options.init_encoder.name}: {sentence}")
        with steps() as watch:
            bundle = train(planned, watch)
        note(Card.of(options.output, planned.bundle, planned.record).outcome)
        return bundle
    from ..training.folds import train_folds

    return train_folds(options.output, datalist, options.folds, **chosen)


def _proposal(options: argparse.Namespace, datalist: Path, given: dict[str, Any], *, trained: bool) -> Proposal:
    """Return the plan of a run; print its settings with their reasons."""
    from ..inference.released import released_bundle
    from ..training.proposal import proposal, steps_needed

    found = proposal(
        datalist,
        options.output,
        given,
        bundle=options.bundle or released_bundle(),
        steps=steps_needed(trained=trained, structures=options.structures is not None),
        folds=options.folds is not None,
    )
    for name, value in found.settings.items():
        note(f"{name} = {json.dumps(value)}: {found.reasons.get(name, 'edited')}")
    if found.held_back:
        note(f"held back for validation, by patient: {', '.join(found.held_back)}")
    for remark in found.remarks:
        note(remark)
    return found


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set takes NAME=VALUE, got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
