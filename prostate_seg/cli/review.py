"""The verb ``review``: masks are looked at and corrected in the browser."""

from __future__ import annotations

import argparse
import webbrowser
from contextlib import suppress

from ..errors import SettingsError
from .common import acquisition_options, path, start_monai
from .output import DONE, note, show, show_json

HELP = "look at masks and correct them with the mouse, on a local page"
EXAMPLES = ("review STUDY -o OUT", "review scan.nii.gz other.nii.gz -o OUT --no-browser --port 8765")


def add_options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("inputs", nargs="+", type=path, metavar="SCAN", help="images: files, folders, zips")
    verb.add_argument("-o", "--output", type=path, required=True, help="folder of hints and of saved cases")
    acquisition_options(verb)
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument("--bundle", type=path, help="bundle folder (default the released one)")
    verb.add_argument("--weights", default="released", help="released (default), phantoms or a file of weights")
    verb.add_argument("--port", type=int, default=0, help="of the page on this computer (default: a free one)")
    verb.add_argument("--no-browser", action="store_true", help="only print the address of the page")
    verb.add_argument("--json", action="store_true", help="address and cases as JSON on stdout")


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    start_monai(options)
    from ..inference.predictor import load_bundle
    from ..reading.acquisition import Acquisition
    from ..reading.cases import find_cases
    from ..serve.desk import Desk
    from ..serve.server import serve
    from ..system.atomic import check_writable
    from ..system.locks import only_run

    if not 0 <= options.port <= 65535:
        raise SettingsError(f"--port is {options.port}, expected 1 to 65535, or 0 for a free one.")
    acquisition = Acquisition(options.frame_spacing, options.frame_order, options.probe_side)
    check_writable(options.output)
    cases, skipped = find_cases(options.inputs)
    for entry in skipped:
        note(f"skipped {entry.name}: {entry.reason}")
    predictor = load_bundle(options.bundle, weights=options.weights, device=options.device)

    def started(address: str) -> None:
        if options.json:
            show_json({"address": address, "cases": [case.name for case in cases]})
        else:
            show(address)
        note("The page is open to this computer alone; end it with Ctrl-C. Each hint is kept when it is given.")
        if not options.no_browser and not webbrowser.open(address):
            note("note: no browser was found; open the address in one.")

    with only_run(options.output):
        desk = Desk(cases, predictor, output=options.output, acquisition=acquisition)
        with suppress(KeyboardInterrupt):  # the usual end
            serve(desk, port=options.port, started=started, debug=options.debug)
    note(f"ended; hints and saved cases are in {options.output}")
    return DONE
