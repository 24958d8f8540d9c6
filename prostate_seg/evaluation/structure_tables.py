"""Tables of several structures: ``structures.csv``, ``structures.json`` and ``panoptic.csv``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..system.atomic import made_folder
from ..system.csv_files import write_rows
from ..system.json_files import write_json
from ..system.replaced import check_replaceable
from .panoptic_table import PanopticRow, over_all, panoptic_rows
from .structures import StructureResults
from .tables import COLUMNS, INTERVAL, qualities, summaries_as_json, summaries_of
from .things import things_as_json

TABLE, DOCUMENT, PANOPTIC_TABLE = "structures.csv", "structures.json", "panoptic.csv"
_MARKS = {
    TABLE: "case,structure,dice",
    DOCUMENT: '"panoptic_over_all"',
    PANOPTIC_TABLE: "structure,kind,match,matched",
}


def check_structure_results(folder: str | Path) -> None:
    """Raise OutputError if the tables would replace files that this package did not write."""
    check_replaceable(Path(folder), _MARKS)


def write_structure_results(found: StructureResults | None, folder: str | Path) -> list[Path]:
    """Write the tables of several structures, and return their paths.

    ``structures.csv`` has a row for each case and structure, ``panoptic.csv`` the panoptic quality, and
    ``structures.json`` both with summaries and notes. Without results, the tables of an earlier evaluation are
    deleted. Raise OutputError if a file cannot be written or would replace one that this package did not write.
    """
    folder = Path(folder)
    check_structure_results(folder)
    if found is None:
        for name in _MARKS:
            (folder / name).unlink(missing_ok=True)
        return []
    made_folder(folder)
    columns = ("case", "structure", *COLUMNS[1:])
    rows = ({**one.as_row(), "structure": name} for name, results in found.results.items() for one in results)
    write_rows(folder / TABLE, columns, ([row[column] for column in columns] for row in rows))
    table = [asdict(row) for row in panoptic_rows(found)]
    write_rows(
        folder / PANOPTIC_TABLE, tuple(PanopticRow.__dataclass_fields__), (list(row.values()) for row in table)
    )
    write_json(folder / DOCUMENT, structures_as_json(found))
    return [folder / TABLE, folder / PANOPTIC_TABLE, folder / DOCUMENT]


def structures_as_json(found: StructureResults) -> dict[str, Any]:
    """Return the content of ``structures.json``."""
    return {
        "interval": INTERVAL,
        "notes": list(found.notes),
        "errors": list(found.errors),
        "panoptic_over_all": over_all(found),
        "panoptic": [asdict(row) for row in panoptic_rows(found)],
        "things": things_as_json(found.things.matches),
        "structures": {
            name: {
                "cases_measured": sum(one.metrics is not None for one in results),
                "cases_with_error": sum(one.metrics is None for one in results),
                "panoptic": asdict(found.panoptic(name)) | qualities(found.panoptic(name)),
                "summary": summaries_as_json(results),
            }
            for name, results in found.results.items()
        },
    }


def structure_rows(found: StructureResults) -> list[tuple[str, int, dict[str, float | None]]]:
    """Return name, number of measured cases, and mean Dice, HD95, ASSD and PQ, SQ, RQ of each structure."""
    rows = []
    for name, results in found.results.items():
        summary = summaries_of(results)
        means = {metric: summary[metric].mean for metric in ("dice", "hd95_mm", "assd_mm")} if summary else {}
        count = sum(one.metrics is not None for one in results)
        rows.append((name, count, means | qualities(found.panoptic(name))))
    return rows
