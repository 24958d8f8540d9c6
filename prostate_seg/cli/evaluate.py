"""The verb ``evaluate``: masks against reference masks."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError, SettingsError
from ..system.parallel import check_jobs
from .common import path
from .output import DONE, NOTHING_DONE, SOME_FAILED, note, say, show, show_json

if TYPE_CHECKING:
    from pathlib import Path

    from ..evaluation import CaseResult, Observers
    from ..evaluation.structures import StructureResults

HELP = "compare masks with reference masks, in mm and mL"
EXAMPLES = (
    "evaluate OUT LABELS -o EVALUATION --images IMAGES",
    "evaluate OUT LABELS -o EVALUATION --structures all",
    "evaluate OUT OBSERVER1 OBSERVER2 -o EVALUATION --patients patients.csv",
)
DEFAULT_PAGES = 5


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("prediction", type=path, help="mask, folder of masks, or a folder that segment wrote")
    verb.add_argument(
        "reference", nargs="+", type=path, help="mask, or folder of masks with the same names; one an observer"
    )
    verb.add_argument("--patients", type=path, metavar="CSV", help="columns case, patient: for the intervals")
    verb.add_argument("--partial", action="store_true", help="leave out cases that lack a partner")
    verb.add_argument("--resample", action="store_true", help="bring masks on another grid to the reference's")
    verb.add_argument("--structure", default="", metavar="NAME", help="of files with several (default: CTV)")
    verb.add_argument(
        "--structures", metavar="NAMES", help="also all, or names by commas: a table with every structure"
    )
    verb.add_argument("--jobs", type=int, metavar="N", help="cases done at a time (default: one a core)")
    verb.add_argument("-o", "--output", type=path, help="folder for tables (CSV, JSON) and report.html")
    verb.add_argument("--images", type=path, metavar="FOLDER", help="images for the report, by name")
    verb.add_argument("--pages", type=int, metavar="N", help="worst cases with a page (default 5)")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Evaluate masks against reference masks."""
    from ..evaluation import between_observers, read_patients

    check_jobs(options.jobs)
    _check_report(options)
    if options.prediction.resolve() in {path.resolve() for path in options.reference}:
        raise InputError(f"{options.prediction} is given as prediction and as reference; give two.")
    if options.output:
        _check_output(options.output)
    how = {
        "patients": read_patients(options.patients) if options.patients else None,
        "resample": options.resample,
        "structure": options.structure,
        "jobs": options.jobs,
    }
    names = _structure_names(options)
    rows = _rows(options, names, how)
    more = None if names is None else _structures(options, names, how)
    several = len(options.reference) > 1
    observers = between_observers(options.reference, rows, **how) if several else None
    alone = sum(row.unpaired for row in [*rows, *(observers.rows if observers else [])])
    if options.partial:
        rows = [row for row in rows if not row.unpaired]
        observers = observers and replace(observers, rows=[row for row in observers.rows if not row.unpaired])
    _show(options, rows, observers, more)
    rows_of_all = [*rows, *(observers.rows if observers else [])]
    if more is not None:
        rows_of_all += [
            replace(one, case=f"{one.case}, {name}") for name, results in more.results.items() for one in results
        ]
    _say_what_failed(rows_of_all, alone, partial=options.partial)
    if options.output:
        _write(options, rows, observers, more, left_out=alone if options.partial else 0)
    things = more.things if more is not None else None
    if all(row.error for row in rows) and not (things and (things.matches or things.panoptic)):
        return NOTHING_DONE
    failed = any(row.error for row in rows_of_all) or bool(more is not None and more.errors)
    return SOME_FAILED if failed else DONE


def _check_output(folder: Path) -> None:
    """Raise OutputError if the tables or pages cannot be written, or would replace files of others."""
    from ..evaluation import check_results, check_structure_results
    from ..report import check_cohort
    from ..system.atomic import check_writable

    for check in (check_writable, check_results, check_structure_results, check_cohort):
        check(folder)


def _rows(options: argparse.Namespace, names: list[str] | None, how: dict[str, Any]) -> list[CaseResult]:
    """Evaluate the masks; there are none if things alone are compared, for which --structures is needed."""
    from ..evaluation import evaluate_folders, things_alone

    if len(options.reference) > 1 or not things_alone(options.prediction, options.reference[0]):
        return evaluate_folders(options.prediction, options.reference, **how)
    if names is None:
        raise InputError(
            f"{options.prediction} and {options.reference[0]} have needles and seeds of the same cases, but no "
            "masks; give --structures all."
        )
    return []


def _show(
    options: argparse.Namespace,
    rows: list[CaseResult],
    observers: Observers | None,
    more: StructureResults | None,
) -> None:
    """Print the results as tables, or as JSON."""
    from ..evaluation import structures_as_json

    if options.json:
        found = [row.as_json() for row in rows]
        show_json(found if more is None else {"cases": found, "structures": structures_as_json(more)})
        return
    if rows:
        _show_rows(rows, observers)
    if more is not None:
        _show_structures(more)


def _say_what_failed(rows: list[CaseResult], alone: int, *, partial: bool) -> None:
    """Print the errors and notes of the rows; ``alone`` is the number of rows without a partner."""
    for row in rows:
        if row.error:
            say(f"failed: {row.name}: {row.error}")
        elif row.note:
            note(f"note: {row.name}: {row.note}")
    if alone and partial:
        note(f"note: {alone} rows lack a prediction or a reference and are left out.")
    elif alone:
        note(f"note: {alone} rows lack a prediction or a reference and count as failed; --partial leaves them out.")


def _structure_names(options: argparse.Namespace) -> list[str] | None:
    """Return the names of --structures, empty for all; None without it. Raise SettingsError."""
    if options.structures is None:
        return None
    names = [name.strip() for name in options.structures.split(",") if name.strip()]
    if not names:
        raise SettingsError("--structures has nothing, expected all, or names separated by commas.")
    if len(options.reference) > 1:
        raise SettingsError("--structures compares with one reference; give one, or leave it out.")
    return [] if "all" in map(str.lower, names) else names


def _structures(options: argparse.Namespace, names: list[str], how: dict[str, Any]) -> StructureResults:
    """Evaluate structures, and print what failed."""
    from ..evaluation import evaluate_structures

    wanted = {name: value for name, value in how.items() if name != "structure"} | {"partial": options.partial}
    found = evaluate_structures(options.prediction, options.reference[0], names, **wanted)
    for remark in found.notes:
        note(f"note: {remark}")
    for error in found.errors:
        say(f"failed: {error}")
    return found


def _write(
    options: argparse.Namespace,
    rows: list[CaseResult],
    observers: Observers | None,
    more: StructureResults | None,
    *,
    left_out: int,
) -> None:
    """Write the tables, then the report pages."""
    from ..evaluation import write_results, write_structure_results
    from ..report import PAGE, write_cohort

    (options.output / PAGE).unlink(missing_ok=True)  # an old page must not stay beside new numbers
    written = write_results(rows, options.output, observers=observers, left_out=left_out)
    written += write_structure_results(more, options.output)
    written += write_cohort(
        rows,
        options.output,
        observers=observers,
        structures=more,
        images=options.images,
        pages=_pages(options),
        left_out=left_out,
    )
    note(f"written: {', '.join(map(str, written))}")


def _check_report(options: argparse.Namespace) -> None:
    """Raise SettingsError for report options that would have no effect, before anything is computed."""
    if options.pages is not None and options.pages < 0:
        raise SettingsError(f"--pages is a number of cases, at least 0, got {options.pages}.")
    for name, value in (("--pages", options.pages), ("--images", options.images)):
        if value is not None and not options.output:
            raise SettingsError(f"{name} is about the report; give -o for it.")
    if options.images is not None and not _pages(options):
        raise SettingsError("--images is about the pages of the worst cases, and --pages 0 makes none.")
    if options.images is not None and not options.images.is_dir():
        raise SettingsError(
            f"{options.images} is no folder of images; give one with NAME.nii.gz (or a folder NAME) a case."
        )


def _pages(options: argparse.Namespace) -> int:
    return DEFAULT_PAGES if options.pages is None else int(options.pages)


def _show_structures(found: StructureResults) -> None:
    from ..evaluation import panoptic_rows, structure_rows

    def cells(item: object, columns: list[tuple[str, int, int]]) -> str:
        values = item if isinstance(item, dict) else vars(item)
        return " ".join(f"{_cell(values.get(name), digits):>{width}s}" for name, width, digits in columns)

    means = [("dice", 6, 3), ("hd95_mm", 8, 2), ("assd_mm", 8, 2)]
    if rows := structure_rows(found):
        show("")
        show(f"{'structure':24s} {'cases':>5s} {'dice':>6s} {'hd95_mm':>8s} {'assd_mm':>8s}")
    for name, count, values in rows:
        show(f"{name:24s} {count:5d} {cells(values, means)}")
    if table := panoptic_rows(found):
        show("")
        show(
            f"{'structure':24s} {'match':>7s} {'matched':>7s} {'missed':>7s} {'invented':>8s} "
            f"{'PQ':>6s} {'SQ':>6s} {'RQ':>6s} {'error_mm':>8s} {'angle':>6s}"
        )
    columns = [("matched", 7, 0), ("missed", 7, 0), ("invented", 8, 0)]
    columns += [(f"{part}_quality", 6, 3) for part in ("panoptic", "segmentation", "recognition")]
    columns += [("median_error_mm", 8, 2), ("median_angle_deg", 6, 1)]
    for row in table:
        show(f"{row.structure:24s} {row.match:>7s} {cells(row, columns)}")


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _show_rows(rows: list[CaseResult], observers: Observers | None) -> None:
    from ..evaluation.case import SHOWN, as_line
    from ..evaluation.tables import summaries_of

    show(f"{'case':24s} {'dice':>6s} {'hd_mm':>7s} {'hd95_mm':>8s} {'assd_mm':>8s} {'mL':>6s} {'ref mL':>7s}")
    for row in rows:
        if not row.error:
            show(row.as_line())
    measured = [row for row in rows if row.metrics is not None]
    if len(measured) > 1:
        means = {name: summary.mean for name, summary in summaries_of(measured).items()}
        show(as_line(f"mean of {len(measured)}", {name: means.get(name) for name in SHOWN}))
        if any(row.metrics and row.metrics.hd_mm == float("inf") for row in measured):
            note("note: in the mean an infinite distance counts as the diagonal of its image.")
    if observers is None or not observers.differences:
        return
    cases = observers.differences[0].cases
    show("")
    show(f"model beside the observers' own agreement, {cases} cases")
    show(f"{'metric':24s} {'model':>9s} {'observers':>9s} {'difference (95 % interval)':>30s}")
    for one in observers.differences:
        interval = "" if one.low is None else f" ({one.low:+.3f} to {one.high:+.3f})"
        show(f"{one.metric:24s} {one.mean_second:9.3f} {one.mean_first:9.3f} {one.mean_difference:+.3f}{interval}")
