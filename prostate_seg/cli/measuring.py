"""``evaluate`` and ``compare``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..errors import InputError, SettingsError
from ..parallel import check_jobs
from .telling import DONE, NOTHING_DONE, SOME_FAILED, say

DEFAULT_PAGES = 5

if TYPE_CHECKING:
    from ..evaluation import CaseResult, Observers


def evaluate(options: argparse.Namespace) -> int:
    """Masks against references."""
    from ..evaluation import between_observers, evaluate_folders, read_patients, write_results
    from ..export.files import check_writable

    check_jobs(options.jobs)
    _check_report(options)
    if options.prediction.resolve() in {path.resolve() for path in options.reference}:
        raise InputError(f"{options.prediction} is given as prediction and as reference; give two.")
    if options.output:
        check_writable(options.output)
    how = {
        "patients": read_patients(options.patients) if options.patients else None,
        "resample": options.resample,
        "structure": options.structure,
        "jobs": options.jobs,
    }
    rows = evaluate_folders(options.prediction, options.reference, **how)
    several = len(options.reference) > 1
    observers = between_observers(options.reference, rows, **how) if several else None
    if options.json:
        print(json.dumps([row.as_json() for row in rows], indent=1))
    else:
        _print_rows(rows, observers)
    rows_of_all = [*rows, *(observers.rows if observers else [])]
    for row in rows_of_all:
        if row.error:
            say(f"failed: {row.name}: {row.error}")
        elif row.note:
            say(f"note: {row.name}: {row.note}")
    if options.output:
        from ..report import PAGE, write_cohort

        (options.output / PAGE).unlink(missing_ok=True)  # never beside newer numbers
        written = write_results(rows, options.output, observers=observers)
        written += write_cohort(
            rows, options.output, observers=observers, images=options.images, pages=_pages(options)
        )
        say(f"written: {', '.join(map(str, written))}")
    if all(row.error for row in rows):
        return NOTHING_DONE
    return SOME_FAILED if any(row.error for row in rows_of_all) else DONE


def _check_report(options: argparse.Namespace) -> None:
    """Refuse what would be ignored, before anything is computed."""
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


def _print_rows(rows: list[CaseResult], observers: Observers | None) -> None:
    print(f"{'case':24s} {'dice':>6s} {'hd_mm':>7s} {'hd95_mm':>8s} {'assd_mm':>8s} {'mL':>6s} {'ref mL':>7s}")
    for row in rows:
        if not row.error:
            print(row.as_line())
    if observers is None or not observers.differences:
        return
    cases = observers.differences[0].cases
    print(f"\nmodel beside the observers' own agreement, {cases} cases")
    print(f"{'metric':24s} {'model':>9s} {'observers':>9s} {'difference (95 % interval)':>30s}")
    for one in observers.differences:
        interval = "" if one.low is None else f" ({one.low:+.3f} to {one.high:+.3f})"
        print(f"{one.metric:24s} {one.mean_second:9.3f} {one.mean_first:9.3f} {one.mean_difference:+.3f}{interval}")


def compare(options: argparse.Namespace) -> int:
    """Evaluations against each other."""
    from ..comparison import HEAD, MAIN, read_table, remarks, write_comparison
    from ..comparison import compare as differences_of
    from ..export.files import check_writable
    from ..input_files import distinct_names

    if options.output:
        check_writable(options.output)
    names = distinct_names([path.parent if path.is_file() else path for path in options.evaluations])
    tables = [read_table(path, name) for path, name in zip(options.evaluations, names, strict=True)]
    metrics = tuple(name.strip() for name in (options.metrics or ",".join(MAIN)).split(",") if name.strip())
    differences = differences_of(tables, metrics)
    for remark in remarks(tables):
        say(f"note: {remark}")
    if options.json:
        print(json.dumps([asdict(one) | {"verdict": one.verdict} for one in differences], indent=1))
    else:
        print(HEAD, *(one.as_line() for one in differences), sep="\n")
    if options.output:
        from ..report import COMPARISON_PAGE, write_comparison_page

        (options.output / COMPARISON_PAGE).unlink(missing_ok=True)  # never beside newer numbers
        written = write_comparison(differences, tables, options.output)
        written.append(write_comparison_page(differences, tables, options.output))
        say(f"written: {', '.join(map(str, written))}")
    return DONE
