"""Ctrl-C and a request to end: at once, with nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LONGEST_S = 4.0
TWO_OF_30_S = """
import time
from prostate_seg.system.parallel import in_processes
list(in_processes(time.sleep, [30, 30], 2))
"""
TIDY = """
import sys, time
from pathlib import Path
from prostate_seg.system.parallel import in_processes

def work(place):
    try:
        Path(place).touch()
        time.sleep(30)
    finally:
        Path(place).unlink()

if __name__ == "__main__":
    list(in_processes(work, sys.argv[1:], 2))
"""


def started(*command):
    """A process as a terminal starts it: alone in its group, and not deaf to Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def workers_of(process):
    """How many children a process has; Python's own resource tracker is one."""
    return len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())


def wait_until(condition):
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    assert condition()


def ended(process, number, *, group=False):
    """Seconds from the signal to the end, and what was said."""
    begin = time.monotonic()
    if group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=120)
    return time.monotonic() - begin, err.decode()


@pytest.mark.parametrize("group", [False, True])
def test_c6_ctrl_c_ends_two_items_of_30_s_within_4_s(group):
    running = started("-c", TWO_OF_30_S)
    wait_until(lambda: workers_of(running) == 3)
    time.sleep(1)
    seconds, err = ended(running, signal.SIGINT, group=group)
    assert seconds < LONGEST_S
    assert err.count("Traceback") == 1  # this script's own, none of its processes'


def test_c6_what_an_interrupted_item_has_half_written_is_removed(tmp_path):
    (tmp_path / "script.py").write_text(TIDY)
    places = [tmp_path / "a", tmp_path / "b"]
    running = started(tmp_path / "script.py", *places)
    wait_until(lambda: all(place.exists() for place in places))
    seconds, _ = ended(running, signal.SIGINT)
    assert seconds < LONGEST_S
    assert not any(place.exists() for place in places)


def test_c6_processes_end_with_the_one_that_started_them_when_it_is_killed():
    running = started("-c", TWO_OF_30_S)
    wait_until(lambda: workers_of(running) == 3)
    time.sleep(1)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    ended(running, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_c6_sigterm_ends_a_run_in_one_sentence_and_leaves_no_hidden_file(tmp_path):
    running = started("-m", "prostate_seg", "phantom", tmp_path / "p", "-n", 500)
    wait_until(lambda: list((tmp_path / "p").glob("labels/*.nii.gz")))
    seconds, err = ended(running, signal.SIGTERM)
    assert seconds < LONGEST_S
    assert running.returncode == 1
    assert err == "prostate-seg: interrupted; nothing is half-written.\n"
    assert [path for path in (tmp_path / "p").rglob(".*")] == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_c6_segment_with_2_jobs_ends_within_4_s_and_whole_cases_stay(nifti_case, tiny_bundle, tmp_path, number):
    for case in range(40):
        (tmp_path / f"{case}.nii.gz").symlink_to(nifti_case[0])
    out = tmp_path / "out"
    running = started(
        *("-m", "prostate_seg", "segment", tmp_path, "-o", out, "--bundle", tiny_bundle, "--jobs", "2")
    )
    wait_until(lambda: workers_of(running) >= 3)
    time.sleep(1)  # they load torch
    seconds, err = ended(running, number, group=True)
    assert seconds < LONGEST_S
    assert running.returncode == 1
    assert "interrupted; finished cases are kept" in err
    assert "Traceback" not in err
    assert all((out / name / "manifest.json").exists() for name in (os.listdir(out) if out.exists() else []))
