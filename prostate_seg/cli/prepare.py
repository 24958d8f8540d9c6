"""The verb ``prepare``: an export of a planning system, or a public set, as training data."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..system.parallel import check_jobs
from ..training.public_sets import SETS
from .common import acquisition_options, path
from .output import DONE, SOME_FAILED, note, progress, say, show, show_json

if TYPE_CHECKING:
    from ..training.found_cases import Found, Item
    from ..training.prepare import Prepared

HELP = "an export of images and contours, or a public set, as training data"
EXAMPLES = (
    "prepare EXPORT -o DATA --dry-run",
    "prepare EXPORT -o DATA --validation 5",
    "prepare EXPORT -o DATA --roi CTV=prostate_md*,gland --roi Bladder=",
    "prepare --from mu-regpro FOLDER -o DATA",
)
OF_EXPORTS = ("roi", "label", "approved_only", "automatic", "frame_spacing", "frame_order", "probe_side")


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("exports", nargs="+", type=path, metavar="EXPORT", help="folders of images and contours")
    verb.add_argument("--from", dest="public_set", choices=SETS, help="the folders hold this public set")
    verb.add_argument(
        "--axes", default="", metavar="LPS", help="of a public set: where columns, rows and slices run to"
    )
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
    verb.add_argument("--validation", type=int, metavar="N", help="every Nth patient validates (0: none)")
    verb.add_argument("--jobs", type=int, default=1, metavar="N", help="cases done at a time (default 1)")
    verb.add_argument("--dry-run", action="store_true", help="show the pairs and write nothing")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Pair images with contours, and write them as training data."""
    from ..system.atomic import check_writable
    from ..system.locks import only_run
    from ..training.prepare import check_apart, check_folder

    if options.validation is not None and (options.validation < 0 or options.validation == 1):
        raise SettingsError(f"--validation is 2 or more (every Nth patient) or 0, got {options.validation}.")
    check_jobs(options.jobs)
    check_apart(options.output, options.exports)
    find = _of_public_set if options.public_set else _of_export
    _check_options(options)
    check_writable(options.output)
    check_folder(options.output)
    if options.dry_run:
        return _shown(find(options), as_json=options.json)
    with only_run(options.output):
        return _prepared(find(options), options)


def _prepared(found: Found, options: argparse.Namespace) -> int:
    """Write the cases, and say which were taken and what is left over."""
    from ..training.prepare import prepare

    with progress(len(found.items), "case") as done:
        made = prepare(found, options.output, validation=options.validation, jobs=options.jobs, watch=done)
    for one in made.left_over:
        say(f"left over {one.name}: {one.reason}")
    if options.json:
        left = [{"name": one.name, "reason": one.reason} for one in made.left_over]
        show_json({"datalist": str(made.datalist), "cases": made.cases, "left_over": left})
    else:
        show(made.datalist)
    note(_next_step(made))
    return SOME_FAILED if made.failed else DONE


def _next_step(made: Prepared) -> str:
    cases = f"{len(made.cases)} case{'s' * (len(made.cases) != 1)}"
    if not made.training:
        return f"{cases}, none of them for training; add some before you train"
    more = "" if made.held_back else " --set validation_phantoms=8   (or --folds 5, or prepare --validation 5)"
    return f"{cases}; train with them: prostate-seg train --data {made.datalist} -o RUN{more}"


def _check_options(options: argparse.Namespace) -> None:
    """Raise SettingsError if an option means nothing for the kind of folders."""
    if not options.public_set and options.axes:
        raise SettingsError(
            "--axes is for public sets (--from); for an export give --frame-order and --probe-side."
        )
    for name in OF_EXPORTS if options.public_set else ():
        if (given := getattr(options, name)) is not None and given is not False and given not in ("", []):
            shown = f"--{name.replace('_', '-')}"
            raise SettingsError(
                f"{shown} is for exports and means nothing with --from {options.public_set}; leave it out."
            )


def _of_public_set(options: argparse.Namespace) -> Found:
    from ..training.public_sets import find_items

    return find_items(options.public_set, options.exports, options.axes.upper())


def _of_export(options: argparse.Namespace) -> Found:
    from ..reading.acquisition import Acquisition
    from ..training.export_cases import items_of
    from ..training.export_pairs import Wanted, pair_export
    from ..training.records import known_in
    from ..training.roi_choice import patterns_of

    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    wanted = Wanted(
        patterns_of(options.roi), options.label, approved_only=options.approved_only, automatic=options.automatic
    )
    return items_of(pair_export(options.exports, wanted, known_in(options.output)), acquisition)


def _shown(found: Found, *, as_json: bool) -> int:
    """Print the pairs and what is left over."""
    if as_json:
        left = [{"name": one.name, "reason": one.reason} for one in found.left_over]
        show_json({"pairs": [_row(item) for item in found.items], "left_over": left})
        return DONE
    for item in found.items:
        rois = ", ".join(f"{name} <- {roi}" for name, roi in item.rois.items()) or "the mask"
        show(f"{item.name}: {item.image} + {item.contours}: {rois}")
    for one in found.left_over:
        show(f"left over: {one.name}: {one.reason}")
    note(f"{len(found.items)} pairs; nothing was written")
    return DONE


def _row(item: Item) -> dict[str, object]:
    return {"name": item.name, "image": item.image, "contours": item.contours, "rois": dict(item.rois)}
