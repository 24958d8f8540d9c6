"""An archive of small phantoms whose files have equal names in several folders, and runs over it."""

import json
import os
import re
import subprocess
import sys

from prostate_seg.cases.options import Outcome
from prostate_seg.cli import main
from prostate_seg.phantom import make_phantom
from prostate_seg.writing import write

SHAPE, SPACING = (64, 48, 12), (1.2, 1.2, 4.0)
CASES = ["scan0", "scan1", "scan0-2", "scan1-2", "scan0-3"]  # of five phantoms, in the order of a run
QUICK = ("--tta", "none", "--device", "cpu", "--format", "nifti")


def archive(folder, count):
    """``count`` phantoms in three folders: case n is folder{n % 3}/scan{n // 3}."""
    for number in range(count):
        place = folder / f"folder{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        image = make_phantom(number, shape=SHAPE, spacing_mm=SPACING).image
        write(image, place / f"scan{number // 3}.nii.gz")
    return folder


def outcomes_of(*cases):
    """Outcomes as a run yields them; a name that begins with ! failed."""
    for case in cases:
        failed = case.startswith("!")
        yield Outcome(case.strip("!"), error="it has no slices." if failed else "")


def ran(capsys, *arguments):
    """Run a verb in this process: (exit status, stdout, stderr)."""
    capsys.readouterr()
    try:
        status = main([*map(str, arguments)])
    except SystemExit as left:
        status = left.code
    return status, *capsys.readouterr()


def command(*arguments):
    return [sys.executable, "-m", "prostate_seg", *map(str, arguments)]


def started(*arguments, **environment):
    """A run in a process and a session of its own."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )


def contents(folder):
    """The content of every file of the cases by its path; manifests and pages without times."""
    return {
        path.relative_to(folder).as_posix(): _timeless(path) for path in folder.glob("*/**/*") if path.is_file()
    }


def _timeless(path):
    if path.name == "manifest.json":
        return timeless(json.loads(path.read_text()))
    if path.suffix == ".html":
        return re.sub(r"read [\d.]+, segment [\d.]+", "", path.read_text())
    return path.read_bytes()


def timeless(manifest):
    """A manifest without times, and without the digest of the page that shows them."""
    kept = {name: value for name, value in manifest.items() if name not in ("timing_s", "outputs_sha256")}
    digests = manifest.get("outputs_sha256", {})
    return kept, {file: digest for file, digest in digests.items() if file != "report.html"}
