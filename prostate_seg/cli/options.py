"""Options of the command line."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..writing.formats import FORMATS, default_formats
from .telling import say

USAGE_ERROR = 2
KINDS = ("multiframe", "series", "series-without-positions", "enhanced-volume")


class _Parser(argparse.ArgumentParser):
    """Parser that accepts only full option names and prints errors as one sentence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        say(f"{self.prog}: {message}; see {self.prog} --help.")
        self.exit(USAGE_ERROR)


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("a path is empty; give one")
    for part in (text, *Path(text).parts):  # the system checks no name below a missing folder
        try:
            os.lstat(part)
        except (OSError, ValueError) as error:
            if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG:
                raise argparse.ArgumentTypeError(
                    f"a path of {len(text)} characters has a name that no file can have; give a shorter one"
                ) from error
    return Path(text)


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``prostate-seg``; the attribute ``verb`` of its result holds the verb."""
    top = _Parser(
        prog="prostate-seg", description="Prostate segmentation in transrectal ultrasound. Research use only."
    )
    top.add_argument("--version", action="version", version=f"prostate-seg {__version__}")
    verbs = top.add_subparsers(title="verbs", required=True, dest="verb", metavar="VERB")
    _segment_options(_verb(verbs, "segment", "ultrasound in, CTV mask out"))
    _export_options(_verb(verbs, "export", "a mask, also one corrected in 3D Slicer, to DICOM and other formats"))
    _measuring(verbs)
    phantom = _verb(verbs, "phantom", "make ultrasound phantoms with exact masks")
    phantom.add_argument("output", type=_path, help="folder for images/ and labels/")
    phantom.add_argument("-n", "--count", type=int, default=1, help="how many (default 1)")
    phantom.add_argument("--seed", type=int, default=0, help="seed of the first; the next ones count up")
    phantom.add_argument("--format", choices=("nifti", "dicom"), default="nifti")
    phantom.add_argument("--kind", choices=KINDS, help="kind of DICOM (default series)")
    _training(verbs)
    info = _verb(verbs, "info", "versions, bundle, formats")
    info.add_argument("--json", action="store_true", help="as JSON on stdout")
    return top


def _measuring(verbs: Any) -> None:
    evaluate = _verb(verbs, "evaluate", "compare masks with reference masks, in mm and mL")
    evaluate.add_argument("prediction", type=_path, help="mask, folder of masks, or a folder that segment wrote")
    evaluate.add_argument(
        "reference", nargs="+", type=_path, help="mask, or folder of masks with the same names; one an observer"
    )
    evaluate.add_argument("--patients", type=_path, metavar="CSV", help="columns case, patient: for the intervals")
    evaluate.add_argument("--partial", action="store_true", help="leave out cases that lack a partner")
    evaluate.add_argument("--resample", action="store_true", help="bring masks on another grid to the reference's")
    evaluate.add_argument("--structure", default="", metavar="NAME", help="of files with several (default: CTV)")
    evaluate.add_argument("--jobs", type=int, metavar="N", help="cases done at a time (default: one a core)")
    evaluate.add_argument("-o", "--output", type=_path, help="folder for tables (CSV, JSON) and report.html")
    evaluate.add_argument("--images", type=_path, metavar="FOLDER", help="images for the report, by name")
    evaluate.add_argument("--pages", type=int, metavar="N", help="worst cases with a page (default 5)")
    evaluate.add_argument("--json", action="store_true", help="results as JSON on stdout")
    compare = _verb(verbs, "compare", "paired differences of evaluations of the same cases")
    compare.add_argument("evaluations", nargs="+", type=_path, metavar="EVALUATION", help="folders of evaluate -o")
    compare.add_argument("--metrics", metavar="NAMES", help="comma-separated (default: dice and main distances)")
    compare.add_argument("-o", "--output", type=_path, help="folder for comparison.json, .html and cases.csv")
    compare.add_argument("--json", action="store_true", help="results as JSON on stdout")


def _training(verbs: Any) -> None:
    train = _verb(verbs, "train", "train on your cases, or on phantoms")
    train.add_argument("--data", type=_path, help="datalist (JSON); without it, phantoms")
    train.add_argument("-o", "--output", type=_path, required=True, help="folder of the run; resumes if it has one")
    train.add_argument("--init", default="released", help="released (default), phantoms, none or a file")
    train.add_argument("--epochs", type=int, help="passes over the cases")
    train.add_argument("--phantoms", type=int, help="how many phantoms to train on beside the cases")
    train.add_argument(
        "--folds", type=int, metavar="K", help="an ensemble: K members, each without a Kth of the patients"
    )
    train.add_argument(
        "--hard-examples", type=float, metavar="SHARE", help="draw what is wrong more often (0 to 1)"
    )
    train.add_argument("--bundle", type=_path, help="bundle folder to start from (default the released one)")
    train.add_argument("--trust", action="store_true", help="let the code in its train.json run")
    train.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of train.json")
    shapes = _verb(verbs, "shape-model", "make the shape model that refines, from your masks")
    shapes.add_argument("masks", nargs="*", type=_path, metavar="MASK", help="mask files, or folders of them")
    shapes.add_argument("-o", "--output", type=_path, required=True, help="the file to write (.npz)")
    shapes.add_argument("--phantoms", type=int, default=0, metavar="N", help="shapes of so many phantoms as well")
    collect = _verb(verbs, "collect", "cases of segment, corrected since, as training cases")
    collect.add_argument("cases", nargs="+", type=_path, metavar="CASES", help="folders that segment wrote")
    collect.add_argument("-o", "--output", type=_path, required=True, help="new folder, with datalist.json")
    collect.add_argument("--unchanged", action="store_true", help="also masks that nobody changed")
    collect.add_argument("--patients", type=_path, metavar="CSV", help="columns case, patient (default: each one)")
    collect.add_argument("--validation", type=int, default=0, metavar="N", help="every Nth patient validates")
    collect.add_argument("--json", action="store_true", help="results as JSON on stdout")


def _segment_options(segment: argparse.ArgumentParser) -> None:
    segment.add_argument("inputs", nargs="+", type=_path, metavar="INPUT", help="images: files, folders, zips")
    segment.add_argument("-o", "--output", type=_path, required=True, help="folder; one sub-folder a case")
    _acquisition_options(segment)
    _format_options(segment, default=",".join(default_formats()))
    segment.add_argument("--tta", choices=("none", "flip", "full"), help="ensembling (default: the bundle's)")
    segment.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    segment.add_argument("--bundle", type=_path, help="bundle folder (default the released one)")
    segment.add_argument("--weights", default="released", help="released (default), phantoms or a file of weights")
    segment.add_argument("--no-refine", action="store_true", help="leave blurred edges as the network drew them")
    segment.add_argument("--shape-model", type=_path, metavar="FILE", help="instead of the bundle's own")
    segment.add_argument("--review", action="store_true", help="review.html: all cases, the most doubtful first")
    segment.add_argument("--anonymous-names", action="store_true", help="name case folders by a hash of the input")
    segment.add_argument("--jobs", type=int, default=1, metavar="N", help="cases done at a time (default 1)")
    existing = segment.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace results that nobody changed since")
    existing.add_argument("--skip-existing", action="store_true", help="leave finished cases: they count as done")
    segment.add_argument("--json", action="store_true", help="results as JSON on stdout")


def _export_options(export: argparse.ArgumentParser) -> None:
    export.add_argument("mask", type=_path, help="mask file (.seg.nrrd, .nii.gz, ...) or a folder of segment")
    export.add_argument("-o", "--output", type=_path, required=True, help="folder; one sub-folder a case")
    export.add_argument("--source", type=_path, help="the image it was drawn on; DICOM formats need the DICOM")
    export.add_argument("--segment", metavar="NAME", help="which segment is the CTV, where there are several")
    export.add_argument("--structure", action="append", default=[], metavar="NAME", help="a segment to keep too")
    export.add_argument("--drawn", choices=("automatic", "semiautomatic", "manual"), help="how the mask came about")
    _acquisition_options(export)
    _format_options(export, default=None)
    export.add_argument("--overwrite", action="store_true", help="replace results that nobody changed since")
    export.add_argument("--json", action="store_true", help="results as JSON on stdout")


def _acquisition_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--frame-spacing", type=float, metavar="MM", help="of frames, where the file has none")
    verb.add_argument("--frame-order", choices=("base-to-apex", "apex-to-base"))
    verb.add_argument("--probe-side", choices=("bottom", "top"), help="where the probe is in the image")


def _format_options(verb: argparse.ArgumentParser, *, default: str | None) -> None:
    told = "" if default is None else f" (default: {default})"
    verb.add_argument(
        "--format", default=default, required=default is None, help=f"comma-separated, of those below{told}"
    )
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    width = max(map(len, FORMATS))
    rows = [f"  {row.name:{width}}  {row.file:20}  {row.about}" for row in FORMATS.values()]
    verb.epilog = "\n".join(["formats:", *rows])
    verb.add_argument("--identify", action="store_true", help="report.html names case and patient")
    verb.add_argument("--ptv-margin", metavar="MM", help="add a PTV to rtstruct: 3, or 3,posterior=0")
    verb.add_argument("--contour-every", type=float, metavar="MM", help="contours in rtstruct only so far apart")
    verb.add_argument(
        "--rtstruct-reference",
        choices=("source", "us-series"),
        help="images that rtstruct refers to (default: us-series where that is written too)",
    )


def _verb(verbs: Any, name: str, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.add_argument("--debug", action="store_true", help="show tracebacks")
    if name not in ("compare", "phantom", "info"):
        limits = verb.add_argument_group("limits of reading one file", "a large file may take more by its size")
        limits.add_argument("--read-seconds", type=float, metavar="S", help="time (default 10)")
        limits.add_argument("--read-gigabytes", type=float, metavar="GB", help="memory (default 1.5)")
    return verb
