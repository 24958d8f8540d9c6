"""The verbs ``evaluate`` and ``compare``; each function returns the exit status."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from ..errors import InputError, SettingsError
from ..system.parallel import check_jobs
from .telling import DONE, NOTHING_DONE, SOME_FAILED, say, show, show_json

DEFAULT_PAGES = 5

if TYPE_CHECKING:
    from ..evaluation import CaseResult, Observers


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate masks against reference masks."""
    from ..evaluation import between_observers, check_results, evaluate_folders, read_patients
    from ..system.atomic import check_writable

    check_jobs(options.jobs)
    _check_report(options)
    if options.prediction.resolve() in {path.resolve() for path in options.reference}:
        raise InputError(f"{options.prediction} is given as prediction and as reference; give two.")
    if options.output:
        from ..report import check_cohort

        check_writable(options.output)
        check_results(options.output)
        check_cohort(options.output)
    how = {
        "patients": read_patients(options.patients) if options.patients else None,
        "resample": options.resample,
        "structure": options.structure,
        "jobs": options.jobs,
    }
    rows = evaluate_folders(options.prediction, options.reference, **how)
    several = len(options.reference) > 1
    observers = between_observers(options.reference, rows, **how) if several else None
    alone = sum(row.alone for row in [*rows, *(observers.rows if observers else [])])
    if options.partial:
        rows = [row for row in rows if not row.alone]
        observers = observers and replace(observers, rows=[row for row in observers.rows if not row.alone])
    if options.json:
        show_json([row.as_json() for row in rows])
    else:
        _show_rows(rows, observers)
    rows_of_all = [*rows, *(observers.rows if observers else [])]
    _say_what_failed(rows_of_all, alone, partial=options.partial)
    if options.output:
        _write(options, rows, observers, left_out=alone if options.partial else 0)
    if all(row.error for row in rows):
        return NOTHING_DONE
    return SOME_FAILED if any(row.error for row in rows_of_all) else DONE


def _say_what_failed(rows: list[CaseResult], alone: int, *, partial: bool) -> None:
    """Print the errors and notes of the rows; ``alone`` is the number of rows without a partner."""
    for row in rows:
        if row.error:
            say(f"failed: {row.name}: {row.error}")
        elif row.note:
            say(f"note: {row.name}: {row.note}")
    if alone and partial:
        say(f"note: {alone} rows lack a prediction or a reference and are left out.")
    elif alone:
        say(f"note: {alone} rows lack a prediction or a reference and count as failed; --partial leaves them out.")


def _write(
    options: argparse.Namespace, rows: list[CaseResult], observers: Observers | None, *, left_out: int
) -> None:
    """Write the tables, then the report pages."""
    from ..evaluation import write_results
    from ..report import PAGE, write_cohort

    (options.output / PAGE).unlink(missing_ok=True)  # an old page must not stay beside new numbers
    written = write_results(rows, options.output, observers=observers, left_out=left_out)
    written += write_cohort(
        rows,
        options.output,
        observers=observers,
        images=options.images,
        pages=_pages(options),
        left_out=left_out,
    )
    say(f"written: {', '.join(map(str, written))}")


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


def _show_rows(rows: list[CaseResult], observers: Observers | None) -> None:
    show(f"{'case':24s} {'dice':>6s} {'hd_mm':>7s} {'hd95_mm':>8s} {'assd_mm':>8s} {'mL':>6s} {'ref mL':>7s}")
    for row in rows:
        if not row.error:
            show(row.as_line())
    if observers is None or not observers.differences:
        return
    cases = observers.differences[0].cases
    show("")
    show(f"model beside the observers' own agreement, {cases} cases")
    show(f"{'metric':24s} {'model':>9s} {'observers':>9s} {'difference (95 % interval)':>30s}")
    for one in observers.differences:
        interval = "" if one.low is None else f" ({one.low:+.3f} to {one.high:+.3f})"
        show(f"{one.metric:24s} {one.mean_second:9.3f} {one.mean_first:9.3f} {one.mean_difference:+.3f}{interval}")


def compare(options: argparse.Namespace) -> int:
    """Compare evaluations of the same cases."""
    from ..evaluation.comparison import HEAD, MAIN, check_comparison, read_table, remarks, write_comparison
    from ..evaluation.comparison import compare as differences_of
    from ..system.atomic import check_writable
    from ..system.input_files import distinct_names

    if options.output:
        from ..report import COMPARISON_PAGE, check_comparison_page, write_comparison_page

        check_writable(options.output)
        check_comparison(options.output)
        check_comparison_page(options.output)
    names = distinct_names([path.parent if path.is_file() else path for path in options.evaluations])
    tables = [read_table(path, name) for path, name in zip(options.evaluations, names, strict=True)]
    metrics = tuple(name.strip() for name in (options.metrics or ",".join(MAIN)).split(",") if name.strip())
    differences = differences_of(tables, metrics)
    for remark in remarks(tables):
        say(f"note: {remark}")
    if options.json:
        show_json([asdict(one) | {"verdict": one.verdict} for one in differences])
    else:
        for line in (HEAD, *(one.as_line() for one in differences)):
            show(line)
    if options.output:
        (options.output / COMPARISON_PAGE).unlink(missing_ok=True)  # an old page must not stay beside new numbers
        written = write_comparison(differences, tables, options.output)
        written.append(write_comparison_page(differences, tables, options.output))
        say(f"written: {', '.join(map(str, written))}")
    return DONE
