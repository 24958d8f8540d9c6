"""The command line: ``prostate-seg segment | evaluate | phantom | train | info``.

Exit 0: done; 1: at least one attempted case failed, the others are done; 2: nothing was attempted.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ProstateSegError, SettingsError

if TYPE_CHECKING:
    from .pipeline import Outcome

DONE, SOME_FAILED, NOT_ATTEMPTED = 0, 1, 2
FORMATS = ("nifti", "seg-nrrd", "nrrd", "png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        return int(options.run(options))
    except ProstateSegError as error:
        if options.debug:
            raise
        _say(f"prostate-seg: {error}")
        return NOT_ATTEMPTED
    except KeyboardInterrupt:
        _say("prostate-seg: interrupted; finished cases are kept.")
        return SOME_FAILED


def _segment(options: argparse.Namespace) -> int:
    formats = _formats(options.format)
    from .acquisition import Acquisition
    from .readers import find_cases

    cases, skipped = find_cases(options.inputs)
    for entry in skipped:
        _say(f"skipped {entry.name}: {entry.reason}")
    if not cases:
        raise SettingsError(f"Nothing to segment in {', '.join(map(str, options.inputs))}; give ultrasound images.")
    from .bundle import load_bundle
    from .pipeline import Options, segment_case

    predictor = load_bundle(options.bundle, device=options.device, ensembling=options.tta)
    wanted = Options(
        output=options.output,
        formats=formats,
        acquisition=Acquisition(options.frame_spacing, options.frame_order, options.probe_side),
        anonymous_names=options.anonymous_names,
        overwrite=options.overwrite,
    )
    outcomes = []
    for number, case in enumerate(cases, 1):
        outcomes.append(segment_case(case, predictor, wanted))
        _report(f"[{number}/{len(cases)}] ", outcomes[-1], list_files=not options.json)
    if options.json:
        rows = [
            {"case": o.case, "folder": o.folder and str(o.folder), "error": o.error or None, "manifest": o.manifest}
            for o in outcomes
        ]
        print(json.dumps({"cases": rows, "skipped": [vars(entry) for entry in skipped]}, indent=1))
    return SOME_FAILED if any(outcome.error for outcome in outcomes) else DONE


def _report(progress: str, outcome: Outcome, *, list_files: bool) -> None:
    if outcome.manifest is None or outcome.folder is None:
        _say(f"{progress}{outcome.case}: failed: {outcome.error}")
        return
    volume = outcome.manifest["volume_ml"]
    found = "one slice" if volume is None else f"{volume:.1f} mL"
    _say(f"{progress}{outcome.case}: {found} -> {outcome.folder}")
    for warning in outcome.manifest["warnings"]:
        _say(f"  note: {warning}")
    if list_files:
        for file in outcome.manifest["outputs"]:
            print(outcome.folder / file)


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluation import evaluate_folders, write_results

    rows = evaluate_folders(options.prediction, options.reference)
    results = write_results(rows, options.output) if options.output else None
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
    else:
        print(f"{'case':24s} {'dice':>6s} {'hd_mm':>7s} {'hd95_mm':>8s} {'assd_mm':>8s} {'mL':>6s} {'ref mL':>7s}")
        for row in rows:
            print(row.as_line())
    if results is not None:
        _say(f"written: {', '.join(str(path) for path in results)}")
    return SOME_FAILED if any(row.error for row in rows) else DONE


def _phantom(options: argparse.Namespace) -> int:
    from .export.nifti import write_nifti
    from .export.us_series import write_us
    from .phantom import make_phantom
    from .readers import read

    if options.count < 1:
        raise SettingsError(f"-n is the number of phantoms, at least 1, got {options.count}.")
    for seed in range(options.seed, options.seed + options.count):
        name = f"phantom{seed}"
        phantom = make_phantom(seed)
        image: Path = options.output / "images" / name
        label: Path = options.output / "labels" / f"{name}.nii.gz"
        label.parent.mkdir(parents=True, exist_ok=True)
        image.parent.mkdir(parents=True, exist_ok=True)
        truth = phantom.truth
        if options.format == "dicom":
            write_us(phantom.image, image, kind=options.kind, seed=seed)
            truth = replace(truth, affine=read(image).affine)  # a scanner may not write where the image lies
        else:
            image = image.with_name(f"{name}.nii.gz")
            write_nifti(image, phantom.image)
        write_nifti(label, truth)
        print(image)
        print(label)
    return DONE


def _train(options: argparse.Namespace) -> int:
    from .train import plan, train

    settings = dict(_setting(text) for text in options.set)
    if options.epochs is not None:
        settings["train::trainer::max_epochs"] = options.epochs
    if options.phantoms is not None:
        settings["phantoms"] = options.phantoms
    planned = plan(
        options.output, datalist=options.data, init=options.init, bundle=options.bundle, settings=settings
    )
    bundle = train(planned)
    print(bundle)
    _say(f"segment with it: prostate-seg segment INPUT -o OUT --bundle {bundle}")
    return DONE


def _info(options: argparse.Namespace) -> int:
    from .information import describe_installation

    facts = describe_installation()
    print(json.dumps(facts, indent=1) if options.json else "\n".join(_lines(facts)))
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="prostate-seg", description="Prostate segmentation in transrectal ultrasound. Research use only."
    )
    parser.add_argument("--version", action="version", version=f"prostate-seg {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _segment_options(_verb(verbs, "segment", _segment, "ultrasound in, CTV mask out"))
    evaluate = _verb(verbs, "evaluate", _evaluate, "compare masks with reference masks, in mm and mL")
    evaluate.add_argument("prediction", type=Path, help="mask, folder of masks, or a folder that segment wrote")
    evaluate.add_argument("reference", type=Path, help="mask, or folder of masks with the same names")
    evaluate.add_argument("-o", "--output", type=Path, help="folder for metrics.csv and metrics.json")
    evaluate.add_argument("--json", action="store_true", help="results as JSON on stdout")
    phantom = _verb(verbs, "phantom", _phantom, "make ultrasound phantoms with exact masks")
    phantom.add_argument("output", type=Path, help="folder for images/ and labels/")
    phantom.add_argument("-n", "--count", type=int, default=1, help="how many (default 1)")
    phantom.add_argument("--seed", type=int, default=0, help="seed of the first; the next ones count up")
    phantom.add_argument("--format", choices=("nifti", "dicom"), default="nifti")
    phantom.add_argument(
        "--kind",
        choices=("multiframe", "series", "series-without-positions", "enhanced-volume"),
        default="series",
        help="kind of DICOM (default series)",
    )
    train = _verb(verbs, "train", _train, "train on your cases, or on phantoms")
    train.add_argument("--data", type=Path, help="datalist (JSON); without it, phantoms")
    train.add_argument("-o", "--output", type=Path, required=True, help="folder of the run; resumes if it has one")
    train.add_argument("--init", default="released", help="released (default), none, or a file of weights")
    train.add_argument("--epochs", type=int, help="passes over the cases")
    train.add_argument("--phantoms", type=int, help="how many phantoms to train on beside the cases")
    train.add_argument("--bundle", type=Path, help="bundle folder to start from (default the released one)")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of train.json")
    info = _verb(verbs, "info", _info, "versions, bundle, formats")
    info.add_argument("--json", action="store_true", help="as JSON on stdout")
    return parser


def _segment_options(segment: argparse.ArgumentParser) -> None:
    segment.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="DICOM, NIfTI, NRRD, MHA: file, folder, zip"
    )
    segment.add_argument("-o", "--output", type=Path, required=True, help="folder; one sub-folder a case")
    segment.add_argument(
        "--format", default=",".join(FORMATS), help=f"comma-separated (default all: {','.join(FORMATS)})"
    )
    segment.add_argument(
        "--frame-spacing", type=float, metavar="MM", help="distance between frames, where the file has none"
    )
    segment.add_argument("--frame-order", choices=("base-to-apex", "apex-to-base"))
    segment.add_argument("--probe-side", choices=("bottom", "top"), help="where the probe is in the image")
    segment.add_argument(
        "--tta", choices=("none", "flip", "full"), help="ensembling (default what the bundle says)"
    )
    segment.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    segment.add_argument("--bundle", type=Path, help="bundle folder (default the released one)")
    segment.add_argument("--anonymous-names", action="store_true", help="name case folders by a hash of the input")
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
        raise SettingsError(f"--format has {', '.join(unknown) or 'nothing'}, expected of {', '.join(FORMATS)}.")
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
