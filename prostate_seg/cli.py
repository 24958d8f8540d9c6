"""The command line: ``prostate-seg segment | evaluate | phantom | train | info``.

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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .errors import InputError, OutputError, ProstateSegError, SettingsError

if TYPE_CHECKING:
    from .pipeline import Outcome
    from .readers import Case

DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
FORMATS = ("nifti", "seg-nrrd", "nrrd", "png")
KINDS = ("multiframe", "series", "series-without-positions", "enhanced-volume")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal cannot show
    try:
        status = int(options.run(options))
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

    formats = _formats(options.format)
    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    if options.jobs < 1:
        raise SettingsError(f"--jobs is the number of cases done at a time, at least 1, got {options.jobs}.")
    cases, skipped = _found(options)
    check_writable(options.output)
    from .bundle import load_bundle
    from .pipeline import Options, anonymised, segment_cases

    wanted = Options(options.output, formats, acquisition, options.overwrite, options.anonymous_names)
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


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluation import evaluate_folders, write_results
    from .export.files import check_writable

    if options.output:
        check_writable(options.output)
    rows = evaluate_folders(options.prediction, options.reference)
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


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole name only, and says in one sentence what is wrong."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Exit 2."""
        self.exit(NOTHING_DONE, f"{self.prog}: {message}; see {self.prog} --help.\n")


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a path is empty; give one")
    return Path(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="prostate-seg", description="Prostate segmentation in transrectal ultrasound. Research use only."
    )
    parser.add_argument("--version", action="version", version=f"prostate-seg {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _segment_options(_verb(verbs, "segment", _segment, "ultrasound in, CTV mask out"))
    evaluate = _verb(verbs, "evaluate", _evaluate, "compare masks with reference masks, in mm and mL")
    evaluate.add_argument("prediction", type=_path, help="mask, folder of masks, or a folder that segment wrote")
    evaluate.add_argument("reference", type=_path, help="mask, or folder of masks with the same names")
    evaluate.add_argument("-o", "--output", type=_path, help="folder for metrics.csv and metrics.json")
    evaluate.add_argument("--json", action="store_true", help="results as JSON on stdout")
    phantom = _verb(verbs, "phantom", _phantom, "make ultrasound phantoms with exact masks")
    phantom.add_argument("output", type=_path, help="folder for images/ and labels/")
    phantom.add_argument("-n", "--count", type=int, default=1, help="how many (default 1)")
    phantom.add_argument("--seed", type=int, default=0, help="seed of the first; the next ones count up")
    phantom.add_argument("--format", choices=("nifti", "dicom"), default="nifti")
    phantom.add_argument("--kind", choices=KINDS, help="kind of DICOM (default series)")
    train = _verb(verbs, "train", _train, "train on your cases, or on phantoms")
    train.add_argument("--data", type=_path, help="datalist (JSON); without it, phantoms")
    train.add_argument("-o", "--output", type=_path, required=True, help="folder of the run; resumes if it has one")
    train.add_argument("--init", default="released", help="released (default), none, or a file of weights")
    train.add_argument("--epochs", type=int, help="passes over the cases")
    train.add_argument("--phantoms", type=int, help="how many phantoms to train on beside the cases")
    train.add_argument("--bundle", type=_path, help="bundle folder to start from (default the released one)")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of train.json")
    info = _verb(verbs, "info", _info, "versions, bundle, formats")
    info.add_argument("--json", action="store_true", help="as JSON on stdout")
    return parser


def _segment_options(segment: argparse.ArgumentParser) -> None:
    segment.add_argument("inputs", nargs="+", type=_path, metavar="INPUT", help="images: files, folders, zips")
    segment.add_argument("-o", "--output", type=_path, required=True, help="folder; one sub-folder a case")
    segment.add_argument("--format", default=",".join(FORMATS), help="comma-separated (default: %(default)s)")
    segment.add_argument("--frame-spacing", type=float, metavar="MM", help="of frames, where the file has none")
    segment.add_argument("--frame-order", choices=("base-to-apex", "apex-to-base"))
    segment.add_argument("--probe-side", choices=("bottom", "top"), help="where the probe is in the image")
    segment.add_argument("--tta", choices=("none", "flip", "full"), help="ensembling (default: the bundle's)")
    segment.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    segment.add_argument("--bundle", type=_path, help="bundle folder (default the released one)")
    segment.add_argument("--anonymous-names", action="store_true", help="name case folders by a hash of the input")
    segment.add_argument("--jobs", type=int, default=1, metavar="N", help="cases done at a time (default 1)")
    segment.add_argument("--overwrite", action="store_true", help="replace results that are there")
    segment.add_argument("--json", action="store_true", help="results as JSON on stdout")


def _verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run)
    return parser


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise SettingsError(
            f"--format has {', '.join(unknown) or 'nothing'}, expected one or more of {', '.join(FORMATS)}."
        )
    return names


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
