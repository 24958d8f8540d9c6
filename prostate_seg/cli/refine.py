"""The verb ``refine``: a case is segmented again and obeys hints, those of its earlier result included."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..writing.formats import default_formats
from .common import (
    acquisition_options,
    format_options,
    formats_and_planning,
    hint_options,
    network_options,
    path,
    start_monai,
    structure_names,
)
from .output import DONE, NOTHING_DONE, note, say, say_lines, show, show_json

if TYPE_CHECKING:
    from ..cases.options import Outcome
    from ..cases.refining import Earlier
    from ..inference.predictor import Predictor
    from ..reading.cases import Case

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
    verb.add_argument(
        "--from-scratch", action="store_true", help="begin anew: leave out earlier hints and settings"
    )
    acquisition_options(verb)
    format_options(verb, default=None, earlier=True)
    network_options(verb, structures=None)
    verb.add_argument("--anonymous-names", action="store_true", help="name a new folder by a hash of the input")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Segment a case with hints."""
    from ..reading.cases import find_cases
    from ..system.atomic import check_writable
    from ..system.locks import only_run

    if options.undo < 0 or (options.undo and options.from_scratch):
        raise SettingsError("--undo is a number of earlier hints, from 0, and --from-scratch leaves all out.")
    cases, _ = find_cases([options.input])
    if len(cases) > 1:
        raise SettingsError(f"{options.input} holds {len(cases)} cases, expected one; give its file or folder.")
    check_writable(options.output)
    with only_run(options.output):  # two at once would each keep the other's hints out
        outcome = _refined(cases[0], options)
    if options.json:
        show_json(outcome.as_json())
    if outcome.manifest is None or outcome.folder is None:
        say(f"prostate-seg: {outcome.error}")
        if options.debug:
            say_lines(outcome.traceback)
        return NOTHING_DONE
    for text in (*outcome.notes, *outcome.manifest["warnings"]):
        note(f"note: {text}")
    note(_changes(outcome))
    if not options.json:
        for file in outcome.manifest["outputs"]:
            show(outcome.folder / file)
    return DONE


def _refined(case: Case, options: argparse.Namespace) -> Outcome:
    """Return the outcome of a case. What the options leave open is as in its earlier result."""
    start_monai(options)
    from ..cases.anonymous import anonymised
    from ..cases.options import HintSource, Options
    from ..cases.refining import earlier_result, named_as
    from ..cases.segment import checked, segment_case
    from ..reading.acquisition import Acquisition

    keep = not options.from_scratch
    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    if options.anonymous_names:
        case = anonymised([case])[0]
    earlier = earlier_result(options.output, case, acquisition)
    if earlier is not None:
        acquisition = earlier.acquisition(acquisition, keep=keep)
    case, anonymous = named_as(case, earlier)
    named = options.format is not None
    options.format = options.format or ",".join(earlier.formats if earlier else default_formats())
    formats, planning = formats_and_planning(options)
    if earlier is not None and not named:
        earlier.check_planning(planning)
    predictor = _loaded(earlier, options)
    if earlier is not None and keep:
        earlier.check_alike(predictor.info)
    source = HintSource(True, keep, options.undo, options.apex, options.base, tuple(options.hints))
    wanted = Options(
        options.output,
        formats,
        acquisition,
        planning,
        overwrite=True,
        anonymous=anonymous,
        identify=options.identify,
        hints=source,
    )
    return segment_case(case, predictor, checked(wanted, predictor.info))


def _loaded(earlier: Earlier | None, options: argparse.Namespace) -> Predictor:
    """Return the predictor of the options, and of the earlier result for what they leave open."""
    from ..geometry.structures import CTV
    from ..inference.predictor import load_bundle

    made = earlier.settings if earlier and not options.from_scratch else {}
    if options.structures is not None:
        structures = structure_names(options.structures)
    else:
        structures = earlier.structures if earlier else (CTV,)
    return load_bundle(
        options.bundle,
        weights=options.weights,
        device=options.device,
        ensembling=options.tta or made.get("tta"),
        refine=not options.no_refine and (options.shape_model is not None or made.get("refine", True)),
        shape_model=options.shape_model,
        structures=structures,
    )


def _changes(outcome: Outcome) -> str:
    """Return one line on what the hints changed."""
    assert outcome.manifest is not None
    changed = outcome.manifest.get("hints")
    if changed is None:
        return "no hints: the mask is that of segment"
    before, volume = changed["volume_before_ml"], outcome.manifest["volume_ml"]
    sizes = "one slice" if before is None or volume is None else f"{before:.1f} -> {volume:.1f} mL"
    return f"{changed['count']} {'hint' if changed['count'] == 1 else 'hints'}: {sizes}"
