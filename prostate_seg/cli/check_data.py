"""The verb ``check-data``: what is wrong with training data, before a training."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..system.parallel import check_jobs
from .common import path
from .output import DONE, NOTHING_DONE, SOME_FAILED, note, progress, say, show, show_json

if TYPE_CHECKING:
    from ..training.check import Checked

HELP = "check training data: files, geometry, masks, copies, patients in two sections"
EXAMPLES = (
    "check-data DATA",
    "check-data cases.json -o CHECK --jobs 4",
)
MOST_PICTURES = 200  # cases with a picture, about 15 kB each


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("data", type=path, metavar="DATALIST", help="datalist, or a folder of prepare or collect")
    verb.add_argument("-o", "--output", type=path, help="folder for report.html and findings.json")
    verb.add_argument("--jobs", type=int, default=1, metavar="N", help="cases done at a time (default 1)")
    verb.add_argument("--json", action="store_true", help="findings as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Check a datalist."""
    from ..report.data_page import check_data_page
    from ..system.atomic import check_writable
    from ..training.check import check_data
    from ..training.datalist import DATALIST, load_each

    check_jobs(options.jobs)
    datalist = options.data / DATALIST if options.data.is_dir() else options.data
    if options.output is not None:
        check_writable(options.output)
        check_data_page(options.output)
    with progress(len(load_each(datalist)), "case") as watch:
        checked = check_data(datalist, jobs=options.jobs, watch=watch)
    if options.json:
        show_json(_content(checked))
    else:
        for one in checked.findings:
            show(one.line)
    if options.output is not None:
        page = _written(options.output, checked)
        (say if options.json else show)(str(page))
    nameless = sum(entry.patient is None for entry in checked.entries.values())
    if nameless:
        named = "1 case names" if nameless == 1 else f"{nameless} cases name"
        note(f"{named} no patient: each counts as a patient of its own")
    count = len(checked.findings)
    note(f"{len(checked.rows)} of {len(checked.entries)} cases read, {count} finding{'s' * (count != 1)}")
    if not checked.rows:
        say("prostate-seg: no case could be read, so nothing was checked; correct the datalist or its files.")
        return NOTHING_DONE
    return SOME_FAILED if checked.findings else DONE


def _content(checked: Checked) -> dict[str, object]:
    findings = [asdict(one) for one in checked.findings]
    return {"prostate_seg_check_data": 1, "findings": findings, "cases": list(checked.rows)}


def _written(folder: Path, checked: Checked) -> Path:
    """Write the page and ``findings.json``; return the path of the page."""
    from ..report.data_page import FINDINGS, write_data_page
    from ..system.atomic import made_folder
    from ..system.json_files import write_json

    content = _content(checked)
    pictures = {name: _picture(checked, name) for name in _shown(checked)}
    made_folder(folder)
    write_json(folder / FINDINGS, content)
    return write_data_page(folder, content["findings"], checked.rows, pictures)  # type: ignore[arg-type]


def _shown(checked: Checked) -> list[str]:
    """Return the cases of the page, those with the worst findings first."""
    readable = {row["case"] for row in checked.rows}
    named = dict.fromkeys(case for one in checked.findings if one.severity != "note" for case in one.cases)
    return [name for name in named if name in readable][:MOST_PICTURES]


def _picture(checked: Checked, name: str) -> str:
    """Return the picture of a case: the slices of its findings, or the one with the largest area of the mask."""
    from ..report.data_page import case_picture
    from ..training.check.facts import image_and_ctv

    slices = [one.slice for one in checked.findings if name in one.cases and one.slice is not None]
    try:
        return case_picture(*image_and_ctv(checked.entries[name]), list(dict.fromkeys(slices))[:3])
    except InputError:  # it changed since it was checked
        return "<p>No picture: the case cannot be read any more.</p>"
