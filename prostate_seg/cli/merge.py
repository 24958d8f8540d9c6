"""The verb ``merge``: the parts of an archive as one result."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsError
from .common import path
from .output import DONE, NOTHING_DONE, SOME_FAILED, note, progress, say, show, show_json

if TYPE_CHECKING:
    from ..cases.options import Outcome

HELP = "the parts of segment --part as one result"
EXAMPLES = (
    "merge OUT",
    "merge OUT1 OUT2 OUT3 OUT4 -o ALL",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("folders", nargs="+", type=path, metavar="OUT", help="folders of segment --part -o")
    verb.add_argument("-o", "--output", type=path, help="folder to copy the cases to (default: OUT itself)")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Merge the parts of an archive: merged.json, review.csv and review.html."""
    from ..cases.merging import check_output, found_parts, merged, mixture, write_merged
    from ..report import check_review, write_review
    from ..system.atomic import check_writable

    if options.output is None and len(options.folders) > 1:
        raise SettingsError(f"merge got {len(options.folders)} folders; give the folder of the whole by -o.")
    output = options.output or options.folders[0]
    _check_apart(output, options.folders)
    parts = found_parts(options.folders)
    check_writable(output)
    check_output(output, parts)
    check_review(output)
    outcomes: list[Outcome] = []
    with progress(len(parts.cases), "case") as done:
        for outcome in merged(parts, output):
            outcomes.append(outcome)
            done(len(outcomes))
            if outcome.error:
                say(f"failed: {outcome.error}")
    manifests = {outcome.case: outcome.manifest for outcome in outcomes if outcome.manifest}
    remarks = [*parts.remarks(), *mixture(manifests, "bundle")]
    for remark in remarks:
        say(f"incomplete: {remark}")
    for remark in mixture(manifests, "versions"):
        note(f"note: {remark}")
    review = write_review(output, manifests) if manifests else []
    written = [write_merged(output, parts, outcomes), *review]  # last, as a sign that all was written
    note(f"{len(manifests)} of {len(outcomes)} cases of {len(parts.placed)} of {parts.of} parts are done")
    if options.json:
        show_json({"cases": [outcome.as_json() for outcome in outcomes], "missing_parts": parts.missing})
    else:
        for file in written:
            show(file)
    if outcomes and not manifests:
        return NOTHING_DONE
    return SOME_FAILED if remarks or len(manifests) < len(outcomes) else DONE


def _check_apart(output: Path, folders: Sequence[Path]) -> None:
    """Raise SettingsError if one of several folders is the output folder or holds it."""
    inside = output.resolve()
    inputs = {folder.resolve() for folder in folders}
    for folder in inputs:
        if len(inputs) > 1 and inside.is_relative_to(folder):
            raise SettingsError(
                f"-o {output} is in {folder}, one of the {len(inputs)} folders to merge; leave that one out, or "
                "give another -o."
            )
