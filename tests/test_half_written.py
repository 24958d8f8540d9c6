"""What killed runs leave is removed by the next one; what another run is at is not."""

import os
import signal
import subprocess
import sys
import time

import pytest

from prostate_seg.system.atomic import replacing_folder

FILLING = """
import sys, time
from pathlib import Path
from prostate_seg.system import atomic as files
if sys.argv[2] == "exchange":
    files.shutil.rmtree = lambda *_, **__: time.sleep(60)
with files.replacing_folder(Path(sys.argv[1]), may_replace=lambda path: True) as folder:
    (folder / "half").write_text("half")
    if sys.argv[2] == "fill":
        print("there", flush=True)
        time.sleep(60)
    files.check_free = lambda *_, **__: print("there", flush=True)
    rename = Path.rename
    def once(self, target):
        rename(self, target)
        time.sleep(60)
    Path.rename = once
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")


@pytest.fixture
def running(tmp_path):
    """Starts a process that fills ``place`` and stays at a step; it is killed at the latest when the test ends."""
    started = []

    def start(step):
        command = [sys.executable, "-c", FILLING, str(tmp_path / "place"), step]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "there\n"
        time.sleep(0.2)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def fill(place):
    with replacing_folder(place, may_replace=lambda path: True) as folder:
        (folder / "new").write_text("new")


def test_l1_a_run_killed_while_it_filled_a_folder_leaves_nothing_after_the_next_run(running, tmp_path):
    kill(running("fill"))
    assert len(os.listdir(tmp_path)) == 1  # hidden
    fill(tmp_path / "another")
    assert os.listdir(tmp_path) == ["another"]


def test_l1_a_run_that_is_alive_keeps_its_hidden_folder(running, tmp_path):
    process = running("fill")
    (hidden,) = os.listdir(tmp_path)
    fill(tmp_path / "another")
    assert sorted(os.listdir(tmp_path)) == sorted([hidden, "another"])
    kill(process)
    fill(tmp_path / "third")
    assert sorted(os.listdir(tmp_path)) == ["another", "third"]


def test_l1_a_result_that_a_killed_run_had_moved_away_is_put_back(running, tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").write_text("old")
    kill(running("exchange"))
    assert not (tmp_path / "place").exists()
    fill(tmp_path / "another")
    assert sorted(os.listdir(tmp_path)) == ["another", "place"]
    assert (tmp_path / "place" / "old").read_text() == "old"


def test_l1_hidden_folders_of_others_stay(tmp_path):
    for name in (".git", ".0123abcd-mine", ".0123abcd-yours"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("1")
    (tmp_path / ".0123abcd-yours" / "yours.lock").write_text("")  # as ours, but with something else inside
    fill(tmp_path / "place")
    assert sorted(os.listdir(tmp_path)) == [".0123abcd-mine", ".0123abcd-yours", ".git", "place"]


@pytest.mark.parametrize("name", ["replaced", "a.lock", "x.replaced"])
def test_l1_a_case_may_be_called_as_the_parts_of_a_hidden_folder_are(tmp_path, name):
    for _ in range(2):
        fill(tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert os.listdir(tmp_path / name) == ["new"]
