"""The command line: ``prostate-seg segment | export | evaluate | compare | phantom | train | info``.

Exit 0: done; 1: at least one case failed, the others are done; 2: nothing could be done.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from .errors import InputError, OutputError, ProstateSegError, SettingsError
from .options import parser

if TYPE_CHECKING:
    from .export.outputs import Planning
    from .pipeline import Outcome
    from .readers import Case

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal cannot show
    try:
        status = _VERBS[options.verb](options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        _say("prostate-seg: interrupted; finished cases are kept.")
        return SOME_FAILED
    except BrokenPipeError:  # the reader of stdout has gone, as head does; Python must not write to it on exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SOME_FAILED
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        cause = _cause(error)
        if isinstance(cause, ProstateSegError):
            _say(f"prostate-seg: {cause}")
            return NOTHING_DONE
        said = f"{type(cause).__name__} ({(str(cause).strip() or 'no text').splitlines()[0]})"
        _say(f"prostate-seg: unexpected {said}; run again with --debug for the traceback.")
        return SOME_FAILED


def _cause(error: BaseException) -> BaseException:
    """An error of this package that a library wrapped, else what the error came from in the end."""
    while not isinstance(error, ProstateSegError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _segment(options: argparse.Namespace) -> int:
    from .acquisition import Acquisition
    from .export.files import check_writable

    formats, planning = _formats_and_planning(options)
    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    if options.jobs < 1:
        raise SettingsError(f"--jobs is the number of cases done at a time, at least 1, got {options.jobs}.")
    cases, skipped = _found(options)
    check_writable(options.output)
    from .bundle import load_bundle
    from .pipeline import Options, anonymised, segment_cases

    wanted = Options(options.output, formats, acquisition, planning, options.overwrite, options.anonymous_names)
    load = partial(load_bundle, options.bundle, device=options.device, ensembling=options.tta)
    named = anonymised(cases) if options.anonymous_names else cases
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        for outcome in segment_cases(named, load, wanted, jobs=options.jobs):
            outcomes.append(outcome)
            _report(f"[{len(outcomes)}/{len(cases)}] ", outcome, options)
    except KeyboardInterrupt:
        interrupted = True
        _say("prostate-seg: interrupted; finished cases are kept.")
    if options.json:
        print(json.dumps({"cases": [outcome.as_json() for outcome in outcomes], "skipped": skipped}, indent=1))
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed and len(failed) == len(outcomes) and not interrupted:
        return NOTHING_DONE
    return SOME_FAILED if failed or interrupted else DONE


def _found(options: argparse.Namespace) -> tuple[list[Case], list[dict[str, str | None]]]:
    """The cases in the inputs; and what was skipped, which is told, without names where names are secret."""
    from .readers import find_cases

    anonymous = options.anonymous_names
    try:
        cases, skipped = find_cases(options.inputs)
    except InputError:
        if not anonymous:
            raise
        raise InputError(
            f"Nothing to segment in the {len(options.inputs)} inputs; expected ultrasound DICOM, NIfTI, NRRD or "
            "MetaImage. Without --anonymous-names the reason names the files."
        ) from None
    for entry in skipped:
        _say(f"skipped{'' if anonymous else f' {entry.name}'}: {entry.reason}")
    return cases, [{"name": None if anonymous else entry.name, "reason": entry.reason} for entry in skipped]


def _report(progress: str, outcome: Outcome, options: argparse.Namespace) -> None:
    if outcome.manifest is None or outcome.folder is None:
        _say(f"{progress}failed: {outcome.error}")
        if options.debug:
            _say(outcome.traceback)
        return
    volume = outcome.manifest["volume_ml"]
    found = "one slice" if volume is None else f"{volume:.1f} mL"
    _say(f"{progress}{outcome.case}: {found} -> {outcome.folder}")
    for warning in outcome.manifest["warnings"]:
        _say(f"  note: {warning}")
    if not options.json:
        for file in outcome.manifest["outputs"]:
            print(outcome.folder / file)


def _export(options: argparse.Namespace) -> int:
    from .acquisition import Acquisition
    from .export.files import check_writable
    from .handover import Order, hand_over

    formats, planning = _formats_and_planning(options)
    stated = (options.frame_spacing, options.frame_order, options.probe_side)
    if options.source is None and any(value is not None for value in stated):
        raise SettingsError("--frame-spacing, --frame-order and --probe-side are about --source; give that too.")
    check_writable(options.output)
    order = Order(
        options.mask,
        formats,
        options.source,
        options.segment,
        tuple(options.structure),
        Acquisition(*stated) if any(value is not None for value in stated) else None,
        planning,
        options.drawn,
    )
    done = hand_over(order, options.output, overwrite=options.overwrite)
    for note in done.notes:
        _say(f"note: {note}")
    if options.json:
        print(json.dumps({"folder": str(done.folder), "outputs": done.outputs, "notes": done.notes}, indent=1))
    else:
        for name in done.outputs:
            print(done.folder / name)
    return DONE


def _formats_and_planning(options: argparse.Namespace) -> tuple[tuple[str, ...], Planning]:
    from .export.outputs import Planning, chosen_formats
    from .margin import Margin

    formats = chosen_formats(options.format)
    margin = None if options.ptv_margin is None else Margin.parse(options.ptv_margin)
    planning = Planning(margin, options.contour_every, options.rtstruct_reference)
    planning.check(formats)
    return formats, planning


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluation import evaluate_folders, read_patients, write_results
    from .export.files import check_writable

    if options.output:
        check_writable(options.output)
    patients = read_patients(options.patients) if options.patients else None
    rows = evaluate_folders(options.prediction, options.reference, patients=patients)
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
    else:
        print(f"{'case':24s} {'dice':>6s} {'hd_mm':>7s} {'hd95_mm':>8s} {'assd_mm':>8s} {'mL':>6s} {'ref mL':>7s}")
        for row in rows:
            if not row.error:
                print(row.as_line())
    for row in rows:
        if row.error:
            _say(f"failed: {row.case}: {row.error}")
    if options.output:
        _say(f"written: {', '.join(map(str, write_results(rows, options.output)))}")
    return SOME_FAILED if any(row.error for row in rows) else DONE


def _compare(options: argparse.Namespace) -> int:
    from .comparison import HEAD, MAIN, compare, read_table, write_comparison
    from .export.files import check_writable

    if options.output:
        check_writable(options.output)
    tables = [read_table(path) for path in options.evaluations]
    metrics = tuple(options.metrics.split(",")) if options.metrics else MAIN
    differences = compare(tables, metrics)
    if options.json:
        print(json.dumps([asdict(one) for one in differences], indent=1))
    else:
        print(HEAD, *(one.as_line() for one in differences), sep="\n")
    if options.output:
        _say(f"written: {', '.join(map(str, write_comparison(differences, tables, options.output)))}")
    return DONE


def _phantom(options: argparse.Namespace) -> int:
    from .export.files import check_writable
    from .export.phantom_files import write_phantom

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
                print(path)
        except OutputError as error:
            if not made:
                raise
            _say(f"prostate-seg: {error} {made} of {options.count} phantoms are done.")
            return SOME_FAILED
    return DONE


def _train(options: argparse.Namespace) -> int:
    from .train import plan, train

    settings = dict(_setting(text) for text in options.set)
    if options.epochs is not None:
        settings["train::trainer::max_epochs"] = options.epochs
    if options.phantoms is not None:
        settings["phantoms"] = options.phantoms
    bundle = train(
        plan(options.output, datalist=options.data, init=options.init, bundle=options.bundle, settings=settings)
    )
    print(bundle)
    _say(f"segment with it: prostate-seg segment INPUT -o OUT --bundle {bundle}")
    return DONE


def _info(options: argparse.Namespace) -> int:
    from .information import describe_installation

    facts = describe_installation()
    print(json.dumps(facts, indent=1) if options.json else "\n".join(_lines(facts)))
    return DONE


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "segment": _segment,
    "export": _export,
    "evaluate": _evaluate,
    "compare": _compare,
    "phantom": _phantom,
    "train": _train,
    "info": _info,
}


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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
