"""Commands that segment import MONAI without what only training and plots need; nothing else changes."""

import json
import os
import subprocess
import sys

import pytest

from prostate_seg.cli import info, main
from prostate_seg.inference.monai_start import UNUSED

QUICK = "from prostate_seg.inference.monai_start import import_monai\nimport_monai()\n"


def modules_after(code):
    """Return the names of the modules that a process has loaded after the code."""
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_a_process_that_segments_loads_no_library_of_training_and_can_load_it_later():
    check = f"import prostate_seg.inference.predictor\nassert not set({UNUSED!r}) & set(sys.modules)\n"
    assert {"monai", "torch", "ignite.engine"} <= modules_after(f"{QUICK}{check}import ignite.engine, matplotlib")


def test_a_library_that_is_loaded_already_stays_the_same():
    check = "assert sys.modules['matplotlib'] is matplotlib\nassert 'ignite' not in sys.modules"
    assert "matplotlib" in modules_after(f"import matplotlib\n{QUICK}{check}")


def test_only_a_program_starts_quickly(monkeypatch):
    seen = []
    monkeypatch.setattr(info, "run", lambda options: seen.append(options.is_program) or 0)
    assert main(["info"]) == 0
    monkeypatch.setattr(sys, "argv", ["prostate-seg", "info"])
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    assert main() == 0
    assert seen == [False, True]


@pytest.mark.parametrize(("given", "used"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_that_wait_leave_the_processor_to_others_unless_the_user_wants_it_otherwise(given, used):
    program = "import os, sys\nfrom prostate_seg.cli import main\nmain()\nprint(os.environ['OMP_WAIT_POLICY'])"
    others = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    ended = subprocess.run(
        [sys.executable, "-c", program, "info"],
        env=others if given is None else others | {"OMP_WAIT_POLICY": given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.splitlines()[-1] == used
