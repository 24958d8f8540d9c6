"""The verbs ``phantom``, ``train`` and ``info``; each function returns the exit status."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..errors import OutputError, SettingsError
from .telling import DONE, SOME_FAILED, say, show, show_json


def phantom(options: argparse.Namespace) -> int:
    """Write phantoms."""
    from ..phantom.study import write_phantom
    from ..system.atomic import check_writable

    if options.count < 1:
        raise SettingsError(f"-n is the number of phantoms, at least 1, got {options.count}.")
    if options.seed < 0:
        raise SettingsError(f"--seed is a whole number from 0, got {options.seed}.")
    if options.kind and options.format != "dicom":
        raise SettingsError(f"--kind {options.kind} is a kind of DICOM; give --format dicom with it.")
    check_writable(options.output)
    kind: Any = options.kind or "series"
    for made in range(options.count):
        try:
            for path in write_phantom(options.output, options.seed + made, image_format=options.format, kind=kind):
                show(path)
        except OutputError as error:
            if not made:
                raise
            say(f"prostate-seg: {error} {made} of {options.count} phantoms are done.")
            return SOME_FAILED
    return DONE


def train(options: argparse.Namespace) -> int:
    """Start a training, or resume one."""
    from ..training.run import plan
    from ..training.run import train as run

    if options.trust and options.bundle is None:
        raise SettingsError("--trust is about the bundle of --bundle; give both, or leave it out.")
    settings = dict(_setting(text) for text in options.set)
    if options.epochs is not None:
        settings["train::trainer::max_epochs"] = options.epochs
    if options.phantoms is not None:
        settings["phantoms"] = options.phantoms
    if options.hard_examples is not None:
        settings["hard_examples"] = options.hard_examples
    chosen: dict[str, Any] = {"init": options.init, "bundle": options.bundle, "settings": settings}
    chosen["trust"] = options.trust
    if options.folds is None:
        bundle = run(plan(options.output, datalist=options.data, **chosen))
    else:
        from ..training.folds import train_folds

        bundle = train_folds(options.output, options.data, options.folds, **chosen)
    show(bundle)
    say(f"segment with it: prostate-seg segment INPUT -o OUT --bundle {bundle}")
    return DONE


def info(options: argparse.Namespace) -> int:
    """Print what is installed."""
    from ..inference.released import describe_installation

    facts = describe_installation()
    if options.json:
        show_json(facts)
    else:
        for line in _lines(facts):
            show(line)
    return DONE


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set takes NAME=VALUE, got {text!r}.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _lines(facts: dict[str, Any]) -> list[str]:
    return [f"{key}: {', '.join(f'{k} {v}' for k, v in value.items()) if isinstance(value, dict) else value}"
            for key, value in facts.items()]  # fmt: skip
