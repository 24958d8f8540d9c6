"""The verb ``prepare``: what a planning system exported as training data."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..system.parallel import check_jobs
from .common import acquisition_options, path
from .output import DONE, SOME_FAILED, note, progress, say, show, show_json

if TYPE_CHECKING:
    from ..training.export_pairs import Pair, Pairing

HELP = "an export of images and contours as training data"
EXAMPLES = (
    "prepare EXPORT -o DATA --dry-run",
    "prepare EXPORT -o DATA --validation 5",
    "prepare EXPORT -o DATA --roi CTV=prostate_md*,gland --roi Bladder=",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("exports", nargs="+", type=path, metavar="EXPORT", help="folders of images and contours")
    verb.add_argument("-o", "--output", type=path, required=True, help="folder of the data, with datalist.json")
    acquisition_options(verb)
    verb.add_argument(
        "--roi",
        action="append",
        default=[],
        metavar="NAME=PATTERNS",
        help="ROIs of a structure, as 'CTV=prost*,gland'",
    )
    verb.add_argument("--label", default="", metavar="TEXT", help="only contours of this label")
    verb.add_argument("--approved-only", action="store_true", help="leave out structure sets that nobody approved")
    verb.add_argument(
        "--automatic", action="store_true", help="also a CTV that was drawn automatically, by its file"
    )
    verb.add_argument("--validation", type=int, default=0, metavar="N", help="every Nth patient validates")
    verb.add_argument("--jobs", type=int, default=1, metavar="N", help="cases done at a time (default 1)")
    verb.add_argument("--dry-run", action="store_true", help="show the pairs and write nothing")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Pair images with contours, and write them as training data."""
    from ..reading.acquisition import Acquisition
    from ..system.atomic import check_writable
    from ..training.export_pairs import Wanted, pair_export
    from ..training.prepare import check_apart, known_cases, prepare
    from ..training.roi_choice import patterns_of

    if options.validation < 0 or options.validation == 1:
        raise SettingsError(f"--validation is 2 or more (every Nth patient) or 0, got {options.validation}.")
    check_jobs(options.jobs)
    patterns = patterns_of(options.roi)
    check_apart(options.output, options.exports)
    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    check_writable(options.output)
    wanted = Wanted(patterns, options.label, approved_only=options.approved_only, automatic=options.automatic)
    found = pair_export(options.exports, wanted, known_cases(options.output))
    if options.dry_run:
        return _shown(found, as_json=options.json)
    with progress(len(found.pairs), "case") as done:
        made = prepare(
            found,
            options.output,
            acquisition=acquisition,
            validation=options.validation,
            jobs=options.jobs,
            watch=done,
        )
    for one in made.left_over:
        say(f"left over {one.name}: {one.reason}")
    if options.json:
        left = [{"name": one.name, "reason": one.reason} for one in made.left_over]
        show_json({"datalist": str(made.datalist), "cases": made.cases, "left_over": left})
    else:
        show(made.datalist)
    more = "" if options.validation else " --set validation_phantoms=8   (or --folds 5, or prepare --validation 5)"
    note(f"{len(made.cases)} cases; train with them: prostate-seg train --data {made.datalist} -o RUN{more}")
    return SOME_FAILED if made.failed else DONE


def _shown(found: Pairing, *, as_json: bool) -> int:
    """Print the pairs and what is left over."""
    if as_json:
        left = [{"name": one.name, "reason": one.reason} for one in found.left_over]
        show_json({"pairs": [_row(pair) for pair in found.pairs], "left_over": left})
        return DONE
    for pair in found.pairs:
        rois = ", ".join(f"{name} <- {roi}" for name, roi in pair.rois.items()) or "the mask"
        show(f"{pair.name}: {pair.case.name} + {pair.contours.name}: {rois}")
    for one in found.left_over:
        show(f"left over: {one.name}: {one.reason}")
    note(f"{len(found.pairs)} pairs; nothing was written")
    return DONE


def _row(pair: Pair) -> dict[str, object]:
    return {"name": pair.name, "image": pair.case.name, "contours": pair.contours.name, "rois": pair.rois}
