"""Commands that segment import MONAI without what only training and plots need; nothing else changes."""

import argparse
import json
import os
import subprocess
import sys

import pytest

from prostate_seg.cli import main
from prostate_seg.cli.monai_start import UNUSED, import_monai


def modules_after(code):
    """Return the names of the modules that a process has loaded after the code."""
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout.splitlines()[-1]))


def start(*, is_program):
    return (
        "import argparse\nfrom prostate_seg.cli.monai_start import import_monai\n"
        f"import_monai(argparse.Namespace(is_program={is_program}))"
    )


def test_a_program_that_segments_loads_no_library_of_training_and_can_load_it_later():
    quick = f"{start(is_program=True)}\nimport prostate_seg.inference.predictor\n"
    check = f"assert not set({UNUSED!r}) & set(sys.modules)\nimport ignite.engine, matplotlib.pyplot"
    assert {"monai", "torch", "ignite.engine", "matplotlib.pyplot"} <= modules_after(quick + check)


def test_a_verb_called_by_another_program_leaves_monai_whole():
    assert "monai" not in modules_after(start(is_program=False))


def test_what_is_loaded_already_stays_loaded():
    before = {name: sys.modules.get(name) for name in (*UNUSED, "monai")}
    import_monai(argparse.Namespace(is_program=True))
    assert "monai" in sys.modules
    assert {name: module for name, module in before.items() if module} == {
        name: sys.modules[name] for name, module in before.items() if module
    }


def test_a_called_main_is_no_program(capsys):
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


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
