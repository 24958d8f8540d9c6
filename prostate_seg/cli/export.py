"""The verb ``export``: a mask, also a corrected one, in other formats."""

from __future__ import annotations

import argparse

from ..errors import SettingsError
from .common import acquisition_options, format_options, formats_and_planning, path
from .output import DONE, note, show, show_json

HELP = "a mask, also one corrected in 3D Slicer, to DICOM and other formats"
EXAMPLES = ("export corrected.seg.nrrd --source STUDY -o OUT --format dicom-seg,rtstruct",)


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("mask", type=path, help="mask file (.seg.nrrd, .nii.gz, ...) or a folder of segment")
    verb.add_argument("-o", "--output", type=path, required=True, help="folder; one sub-folder a case")
    verb.add_argument("--source", type=path, help="the image it was drawn on; DICOM formats need the DICOM")
    verb.add_argument(
        "--segment", metavar="NAME", help="which segment is the CTV (default: that called CTV, or the only one)"
    )
    verb.add_argument(
        "--structure", action="append", default=[], metavar="NAME", help="a segment to keep too, or all"
    )
    verb.add_argument("--drawn", choices=("automatic", "semiautomatic", "manual"), help="how the mask came about")
    acquisition_options(verb)
    format_options(verb, default=None)
    verb.add_argument("--overwrite", action="store_true", help="replace results that nobody changed since")
    verb.add_argument("--json", action="store_true", help="results as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Write a mask in other formats."""
    from ..cases.export import ExportOptions, export_case
    from ..reading.acquisition import Acquisition
    from ..system.atomic import check_writable

    formats, planning = formats_and_planning(options)
    stated = (options.frame_spacing, options.frame_order, options.probe_side)
    if options.source is None and any(value is not None for value in stated):
        raise SettingsError("--frame-spacing, --frame-order and --probe-side are about --source; give that too.")
    check_writable(options.output)
    order = ExportOptions(
        options.mask,
        formats,
        options.source,
        options.segment,
        tuple(options.structure),
        Acquisition(*stated) if any(value is not None for value in stated) else None,
        planning,
        options.drawn,
        options.identify,
    )
    done = export_case(order, options.output, overwrite=options.overwrite)
    for remark in done.notes:
        note(f"note: {remark}")
    if options.json:
        show_json({"folder": str(done.folder), "outputs": done.outputs, "notes": done.notes})
    else:
        for name in done.outputs:
            show(done.folder / name)
    return DONE
