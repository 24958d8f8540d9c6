"""The verb ``phantom``: generated ultrasound with exact masks."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import OutputError, SettingsError
from .common import path
from .output import DONE, SOME_FAILED, progress, say, show

HELP = "make ultrasound phantoms with exact masks"
EXAMPLES = (
    "phantom FOLDER -n 10 --seed 100",
    "phantom FOLDER --format dicom",
)
KINDS = ("multiframe", "series", "series-without-positions", "enhanced-volume")


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("output", type=path, help="folder for images/ and labels/")
    verb.add_argument("-n", "--count", type=int, default=1, help="how many (default 1)")
    verb.add_argument("--seed", type=int, default=0, help="seed of the first; the next ones count up")
    verb.add_argument("--format", choices=("nifti", "dicom"), default="nifti")
    verb.add_argument("--structures", action="store_true", help="labels as .seg.nrrd with every structure")
    verb.add_argument("--implants", action="store_true", help="with needles or seeds, and labels/NAME.things.json")
    verb.add_argument("--kind", choices=KINDS, help="kind of DICOM (default series)")


def run(options: argparse.Namespace) -> int:
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
    with progress(options.count, "phantom") as done:
        for made in range(options.count):
            try:
                for path in write_phantom(
                    options.output,
                    options.seed + made,
                    image_format=options.format,
                    kind=kind,
                    structures=options.structures,
                    implants=options.implants,
                ):
                    show(path)
            except OutputError as error:
                if not made:
                    raise
                say(f"prostate-seg: {error} {made} of {options.count} phantoms are done.")
                return SOME_FAILED
            done(made + 1)
    return DONE
