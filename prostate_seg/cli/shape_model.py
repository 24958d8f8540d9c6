"""The verb ``shape-model``: a statistical shape model from your masks."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import InputError, OutputError, SettingsError
from .common import path
from .output import DONE, note, show

HELP = "make the shape model that refines, from your masks"
EXAMPLES = (
    "shape-model LABELS -o mine.npz",
    "shape-model LABELS -o mine.npz --phantoms 60",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("masks", nargs="*", type=path, metavar="MASK", help="mask files, or folders of them")
    verb.add_argument("-o", "--output", type=path, required=True, help="the file to write (.npz)")
    verb.add_argument("--phantoms", type=int, default=0, metavar="N", help="shapes of so many phantoms as well")


def run(options: argparse.Namespace) -> int:
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
    note(f"{len(model.volumes_ml)} shapes of {low:.0f} to {high:.0f} mL, {len(model.modes)} modes")
    note(f"segment with it: prostate-seg segment INPUT -o OUT --shape-model {options.output}")
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
