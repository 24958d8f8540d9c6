"""The verb ``train``: weights from your cases, or from phantoms."""

from __future__ import annotations

import argparse
import json
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from .common import path
from .output import DONE, note, show, steps

HELP = "train on your cases, or on phantoms"
EXAMPLES = (
    "train --data cases.json -o runs/mine",
    "train --data cases.json -o runs/mine --plan-only",
    "train --data cases.json -o runs/five --folds 5",
    "train --data cases.json -o runs/organs --structures urethra,bladder",
    "train -o runs/phantoms --init none --phantoms 640 --epochs 60",
)


EPOCHS = "train::trainer::max_epochs"


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
    verb.add_argument("--tracking", choices=("mlflow",), help="also record the run in its folder tracking")
    verb.add_argument("--bundle", type=path, help="bundle folder to start from (default the released one)")
    verb.add_argument("--plan-only", action="store_true", help="write OUTPUT/plan.json, to read and edit, and stop")
    verb.add_argument("--trust", action="store_true", help="let the code in its train.json run")
    verb.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of train.json")


def run(options: argparse.Namespace) -> int:
    """Start a training, or resume one."""
    from ..inference.released import released_bundle
    from ..training.datalist import DATALIST
    from ..training.plan import Extra, plan
    from ..training.plan_file import FILE, Purpose
    from ..training.proposal import proposal
    from ..training.structures import check_alone

    if options.trust and options.bundle is None:
        raise SettingsError("--trust is about the bundle of --bundle; give both, or leave it out.")
    settings = _given(options)
    datalist = options.data / DATALIST if options.data and options.data.is_dir() else options.data
    init = options.init or ("none" if options.init_encoder else "released")
    check_alone(options.folds, options.structures)
    if options.plan_only and datalist is None:
        raise SettingsError("--plan-only plans from the cases of --data; give both.")
    with ExitStack() as stack:
        if datalist is not None:
            source = options.bundle or released_bundle()
            purpose = Purpose(init != "none", options.structures is not None, options.folds)
            proposed, settings = proposal(datalist, options.output, settings, bundle=source, purpose=purpose)
            for line in proposed.lines(settings):
                note(line)
            datalist = stack.enter_context(proposed.written(options.output, datalist))
        extra = Extra(options.init_encoder, options.structures, options.tracking, _command(options, settings))
        chosen: dict[str, Any] = {"init": init, "bundle": options.bundle, "extra": extra}
        chosen |= {"settings": settings, "trust": options.trust}
        if options.plan_only:
            if options.folds is None:
                plan(options.output, datalist=datalist, **chosen)
            show(options.output / FILE)
            return DONE
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


def _command(options: argparse.Namespace, settings: dict[str, Any]) -> str:
    """Return the command line that trains alike, for the model card; paths by their last part."""
    parts: list[str] = ["prostate-seg", "train"]
    for name in ("data", "init", "init_encoder", "folds", "structures", "bundle"):
        if (value := getattr(options, name)) is not None:
            told = value.name if isinstance(value, Path) else str(value)
            parts += [f"--{name.replace('_', '-')}", told]
    for name, value in sorted(settings.items()):
        parts += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return f"{shlex.join(parts)} -o RUN"


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that the options give."""
    own = {"epochs": EPOCHS, "phantoms": "phantoms", "hard_examples": "hard_examples"}
    given = {name: getattr(options, option) for option, name in own.items()}
    return dict(map(_setting, options.set)) | {name: value for name, value in given.items() if value is not None}


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set takes NAME=VALUE, got {text!r}.")
    try:
        return name.replace("#", "::"), json.loads(value)
    except ValueError:
        return name.replace("#", "::"), value
