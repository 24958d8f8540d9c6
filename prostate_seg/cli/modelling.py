"""The verbs ``shape-model`` and ``collect``; each function returns the exit status."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import InputError, OutputError, SettingsError
from .telling import DONE, SOME_FAILED, say, show, show_json


def shape_model(options: argparse.Namespace) -> int:
    """Make a shape model from masks."""
    from ..system.atomic import replacing
    from ..training.shape_models import shape_model_of

    if options.phantoms < 0:
        raise SettingsError(f"--phantoms is a whole number from 0, got {options.phantoms}.")
    if options.output.suffix != ".npz":
        raise SettingsError(f"A shape model is a file .npz, got {options.output.name}; give another -o.")
    _check_place(options.output)
    model = shape_model_of(options.masks, options.phantoms)
    with replacing(options.output) as temporary:
        model.save(temporary)
    low, high = model.volumes_ml[[0, -1]]
    show(options.output)
    say(f"{len(model.volumes_ml)} shapes of {low:.0f} to {high:.0f} mL, {len(model.modes)} modes")
    say(f"segment with it: prostate-seg segment INPUT -o OUT --shape-model {options.output}")
    return DONE


def _check_place(file: Path) -> None:
    """Raise OutputError, before computing, if the file cannot be written or would replace another kind of file."""
    from ..system.atomic import check_writable

    check_writable(file.parent)
    if os.path.lexists(file) and not (file.is_file() and _is_shape_model(file)):
        raise OutputError(f"{file} is no shape model and would be lost; move it away or give another -o.")


def _is_shape_model(file: Path) -> bool:
    from ..assessment.shape_model import ShapeModel

    try:
        ShapeModel.load(file)
    except InputError:
        return False
    return True


def collect(options: argparse.Namespace) -> int:
    """Collect corrected cases in a datalist."""
    from ..evaluation import read_patients
    from ..training.collect import collect as run

    if options.validation < 0 or options.validation == 1:
        raise SettingsError(f"--validation is 2 or more (every Nth patient) or 0, got {options.validation}.")
    done = run(
        options.cases,
        options.output,
        unchanged=options.unchanged,
        patients=read_patients(options.patients) if options.patients else None,
        validation=options.validation,
    )
    for name, reason in done.left_out.items():
        say(f"left out {name}: {reason}")
    if options.json:
        found = {"datalist": str(done.datalist), "taken": done.taken, "left_out": done.left_out}
        show_json(found)
    else:
        show(done.datalist)
    more = "" if options.validation else " --set validation_phantoms=8   (or --folds 5, or collect --validation 5)"
    say(f"{len(done.taken)} cases; train with them: prostate-seg train --data {done.datalist} -o RUN{more}")
    return SOME_FAILED if set(done.left_out) - set(done.unchanged) else DONE
