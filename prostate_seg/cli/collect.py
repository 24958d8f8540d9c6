"""The verb ``collect``: corrected cases as training cases."""

from __future__ import annotations

import argparse

from ..errors import SettingsError
from .common import path
from .output import DONE, SOME_FAILED, note, say, show, show_json

HELP = "cases of segment, corrected since, as training cases"
EXAMPLES = ("collect OUT -o corrected --validation 5",)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("cases", nargs="+", type=path, metavar="CASES", help="folders that segment wrote")
    verb.add_argument("-o", "--output", type=path, required=True, help="new folder, with datalist.json")
    verb.add_argument("--unchanged", action="store_true", help="also masks that nobody changed")
    verb.add_argument("--patients", type=path, metavar="CSV", help="columns case, patient (default: each one)")
    verb.add_argument("--validation", type=int, default=0, metavar="N", help="every Nth patient validates")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Collect corrected cases in a datalist."""
    from ..evaluation import read_patients
    from ..training.collect import collect

    if options.validation < 0 or options.validation == 1:
        raise SettingsError(f"--validation is 2 or more (every Nth patient) or 0, got {options.validation}.")
    done = collect(
        options.cases,
        options.output,
        unchanged=options.unchanged,
        patients=read_patients(options.patients) if options.patients else None,
        validation=options.validation,
    )
    for name, reason in done.left_out.items():
        (note if name in done.unchanged else say)(f"left out {name}: {reason}")
    if options.json:
        found = {"datalist": str(done.datalist), "taken": done.taken, "left_out": done.left_out}
        show_json(found)
    else:
        show(done.datalist)
    more = "" if options.validation else " --set validation_phantoms=8   (or --folds 5, or collect --validation 5)"
    note(f"{len(done.taken)} cases; train with them: prostate-seg train --data {done.datalist} -o RUN{more}")
    return SOME_FAILED if set(done.left_out) - set(done.unchanged) else DONE
