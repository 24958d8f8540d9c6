"""The verb ``refine``: a case is segmented again and obeys hints, those of its earlier result included."""

from __future__ import annotations

import argparse

from ..errors import SettingsError
from ..writing.formats import default_formats
from .common import acquisition_options, format_options, formats_and_planning, hint_options, path
from .output import DONE, NOTHING_DONE, note, say, say_lines, show, show_json

HELP = "correct the mask of a case by hints: end slices, points, scribbles, contours"
EXAMPLES = (
    "refine STUDY -o OUT --apex 4 --base 21",
    "refine STUDY -o OUT --hints points.mrk.json",
    "refine STUDY -o OUT --undo 1",
)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("input", type=path, metavar="CASE", help="image of one case: a file, folder or zip")
    verb.add_argument("-o", "--output", type=path, required=True, help="folder; the case's own is replaced")
    hint_options(verb)
    verb.add_argument("--undo", type=int, default=0, metavar="N", help="take back the last N earlier hints")
    verb.add_argument("--from-scratch", action="store_true", help="without the hints of the earlier result")
    acquisition_options(verb)
    format_options(verb, default=",".join(default_formats()))
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument("--bundle", type=path, help="bundle folder (default the released one)")
    verb.add_argument("--weights", default="released", help="released (default), phantoms or a file of weights")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Segment a case with hints."""
    from ..cases.options import HintSource, Options
    from ..cases.segment import segment_case
    from ..inference.predictor import load_bundle
    from ..reading.acquisition import Acquisition
    from ..reading.cases import find_cases
    from ..system.atomic import check_writable
    from ..system.locks import only_run

    if options.undo < 0 or (options.undo and options.from_scratch):
        raise SettingsError("--undo is a number of earlier hints, from 0, and --from-scratch leaves all out.")
    formats, planning = formats_and_planning(options)
    cases, _ = find_cases([options.input])
    if len(cases) > 1:
        raise SettingsError(f"{options.input} holds {len(cases)} cases, expected one; give its file or folder.")
    check_writable(options.output)
    source = HintSource(not options.from_scratch, options.undo, options.apex, options.base, tuple(options.hints))
    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    wanted = Options(
        options.output, formats, acquisition, planning, overwrite=True, identify=options.identify, hints=source
    )
    predictor = load_bundle(options.bundle, weights=options.weights, device=options.device)
    with only_run(options.output):  # two at once would each keep the other's hints out
        outcome = segment_case(cases[0], predictor, wanted)
    if options.json:
        show_json(outcome.as_json())
    if outcome.manifest is None or outcome.folder is None:
        say(f"prostate-seg: {outcome.error}")
        if options.debug:
            say_lines(outcome.traceback)
        return NOTHING_DONE
    for warning in outcome.manifest["warnings"]:
        note(f"note: {warning}")
    changed = outcome.manifest.get("hints")
    volume = outcome.manifest["volume_ml"]
    if changed:
        note(f"{changed['count']} hints: {changed['volume_before_ml']:.1f} -> {volume:.1f} mL")
    else:
        note("no hints: the mask is that of segment")
    if not options.json:
        for file in outcome.manifest["outputs"]:
            show(outcome.folder / file)
    return DONE
