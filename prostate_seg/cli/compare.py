"""The verb ``compare``: is one evaluation better than another?"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from .common import path
from .output import DONE, note, show, show_json

HELP = "paired differences of evaluations of the same cases"
EXAMPLES = ("compare EVALUATION1 EVALUATION2 -o COMPARISON",)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("evaluations", nargs="+", type=path, metavar="EVALUATION", help="folders of evaluate -o")
    verb.add_argument("--metrics", metavar="NAMES", help="comma-separated (default: dice and main distances)")
    verb.add_argument("-o", "--output", type=path, help="folder for comparison.json, .html and cases.csv")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
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
        note(f"note: {remark}")
    if options.json:
        show_json([asdict(one) | {"verdict": one.verdict} for one in differences])
    else:
        for line in (HEAD, *(one.as_line() for one in differences)):
            show(line)
    if options.output:
        (options.output / COMPARISON_PAGE).unlink(missing_ok=True)  # an old page must not stay beside new numbers
        written = write_comparison(differences, tables, options.output)
        written.append(write_comparison_page(differences, tables, options.output))
        note(f"written: {', '.join(map(str, written))}")
    return DONE
