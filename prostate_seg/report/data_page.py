"""The page of a check of training data: its findings, and a picture of each case that has one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from ..geometry.volume import Array, Volume
from ..system.replaced import check_replaceable
from ..writing.view import view_of
from .page import Html, facts, heading, plain_list, section, table, write_page
from .slices import overlay
from .viewer import PREDICTION_COLOUR

PAGE, FINDINGS = "report.html", "findings.json"
TITLE = "Check of training data"
MARK = '"prostate_seg_check_data"'  # in every findings.json of this package


def check_data_page(folder: Path) -> None:
    """Raise OutputError if the page or ``findings.json`` would replace a file that this package did not write."""
    check_replaceable(folder, {PAGE: heading(TITLE), FINDINGS: MARK})


def case_picture(volume: Volume, mask: Array | None, slices: Sequence[int]) -> str:
    """Return slices of a case, with the contour of its mask, as HTML.

    Without ``slices`` they are transverse if the orientation is known, otherwise those of the file.

    Parameters
    ----------
    volume
        The image.
    mask
        Bool (I, J, K) on the grid of the image; None if there is none.
    slices
        Slices (axis k of the file, from 0). If the mask is on none of them, the one with its largest area follows;
        without a mask and slices, the middle one is shown.
    """
    masks = [] if mask is None else [mask]
    view = view_of(volume, masks)
    if slices and view.turn is not None and view.turn[2, 0] != 2:  # the file's slices are not transverse
        view = view_of(replace(volume, orientation="assumed"), masks)
    numbers = [view.numbers.index(k + 1) for k in slices if k + 1 in view.numbers]
    area = None if mask is None else view.of(mask).sum(axis=(0, 1))
    if area is not None and area.any() and not area[numbers].any():
        numbers.append(int(area.argmax()))
    numbers = numbers or [view.gray.shape[2] // 2]
    outlines = [(one, PREDICTION_COLOUR, False) for one in masks]
    figures = [
        f"<figure>{overlay(view, outlines, at)}<figcaption>Slice {view.numbers[at]}</figcaption></figure>"
        for at in numbers
    ]
    return "".join(figures)


def write_data_page(
    folder: Path,
    findings: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, str],
) -> Path:
    """Write ``report.html`` into an existing folder and return its path. Raise OutputError.

    Parameters
    ----------
    folder
        The folder.
    findings
        The entries ``severity``, ``kind``, ``cases`` and ``sentence`` of each finding, the worst first.
    rows
        The entries ``case``, ``section``, ``voxels``, ``spacing_mm``, ``ctv_ml``, ``from_plausible_shape_mm`` and
        ``structures`` of each case.
    pictures
        HTML of the pictures, by case.
    """
    check_data_page(folder)
    severities = Counter(one["severity"] for one in findings)
    sections = Counter(row["section"] for row in rows)
    counted = [f"{count} {name}{'s' * (count > 1)}" for name, count in severities.items()]
    summary = [
        ("Cases read", ", ".join(f"{count} {name}" for name, count in sections.items()) or "none"),
        ("Findings", ", ".join(counted) or "none"),
    ]
    body = [facts(summary)]
    if findings:
        head = ("check", "cases", "finding")
        lines = [
            (f"{one['severity']}: {one['kind'].replace('_', ' ')}", _names(one["cases"]), _sentence(one))
            for one in findings
        ]
        body.append(section("Findings, worst first", table(head, lines, caption="All findings", name="findings")))
    if pictures:
        items = "".join(_item(name, findings, picture) for name, picture in pictures.items())
        body.append(section("Cases with findings", f"<ol id=worklist>{items}</ol>"))
    body.append(section("All cases", _cases(rows)))
    write_page(folder / PAGE, TITLE, body, data={"plots": {}}, scripts=["tables.js"])
    return folder / PAGE


def _names(cases: Sequence[str]) -> Html:
    shown = ", ".join(map(escape, cases[:5]))
    if len(cases) <= 5:
        return Html(shown)
    more = ", ".join(map(escape, cases[5:]))
    return Html(f"{shown}<details><summary>and {len(cases) - 5} others</summary>{more}</details>")


def _sentence(finding: Mapping[str, Any]) -> str:
    text = finding["sentence"]
    return str(text[:1].upper() + text[1:])


def _item(name: str, findings: Sequence[Mapping[str, Any]], picture: str) -> str:
    sentences = [_sentence(one) for one in findings if name in one["cases"]]
    return (
        f"<li data-state=open><div class=thumbnail>{picture}</div><div><h3>{escape(name)}</h3>"
        f"{plain_list(sentences)}</div></li>"
    )


def _cases(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("case", "section", "voxels", "spacing, mm", "CTV, mL", "from plausible shape, mm", "masks")
    lines = [
        (
            row["case"],
            row["section"],
            " x ".join(map(str, row["voxels"])),
            " x ".join(f"{mm:.3g}" for mm in row["spacing_mm"]),
            row["ctv_ml"],
            row["from_plausible_shape_mm"],
            ", ".join(row["structures"]),
        )
        for row in rows
    ]
    return table(head, lines, caption=f"{len(rows)} cases that could be read", name="cases")
