"""The engine of Ray: two workers on this machine, and what is left when a worker or the driver is killed."""

import json
import os
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from archives import QUICK, archive, command, contents, started

from prostate_seg.cli import main

CASES = 40
pytest.importorskip("ray", reason='needs Ray (the extra "ray")')
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return archive(tmp_path_factory.mktemp("archive"), CASES)


@pytest.fixture
def given(images, tiny_bundle, tmp_path):
    """The arguments of a run of two workers over the archive."""
    ray = ("--engine", "ray", "--jobs", "2")
    return ("segment", images, "-o", tmp_path / "out", "--bundle", tiny_bundle, *QUICK, *ray)


def workers_of(process):
    """The processes of Ray's actors below a driver."""
    return [child for child in psutil.Process(process.pid).children(recursive=True) if _is_worker(child)]


def _is_worker(process):
    try:
        return any(part.startswith("ray::Worker") for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def ended(*arguments):
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def finished(folder):
    return sorted(path.parent.name for path in folder.glob("*/manifest.json"))


def wait_until(condition, process):
    until = time.monotonic() + 120
    while not condition() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert condition(), process.communicate() if process.poll() is not None else "too late"


def test_a_killed_worker_and_a_killed_driver_leave_40_results_after_a_second_run(
    given, images, tiny_bundle, tmp_path
):
    out = tmp_path / "out"
    first = started(*given)
    wait_until(lambda: len(finished(out)) >= 5, first)
    workers_of(first)[0].kill()
    wait_until(lambda: len(finished(out)) >= 15, first)
    workers = workers_of(first)
    first.kill()
    first.communicate()
    assert psutil.wait_procs(workers, timeout=60)[1] == []  # no worker outlives its driver
    before = {name: (out / name / "manifest.json").stat().st_mtime_ns for name in finished(out)}
    assert 15 <= len(before) < CASES
    second = subprocess.run(
        command(*given, "--skip-existing", "--json"), capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    told = json.loads(second.stdout)["cases"]
    assert [case["error"] for case in told] == [None] * CASES
    assert {case["case"] for case in told if case["skipped"]} == set(before)
    assert {name: (out / name / "manifest.json").stat().st_mtime_ns for name in before} == before
    assert finished(out) == sorted(os.listdir(out)) == sorted(case["case"] for case in told)
    assert len(finished(out)) == CASES
    two = [images / "folder0" / f"scan{number}.nii.gz" for number in range(2)]
    assert main([*map(str, ["segment", *two, "-o", tmp_path / "local", "--bundle", tiny_bundle, *QUICK])]) == 0
    local = contents(tmp_path / "local")
    assert len(local) == 4
    assert {path: content for path, content in contents(out).items() if path in local} == local


def test_a_case_that_kills_each_worker_fails_after_3_and_the_others_are_done(given, images, tmp_path, tiny_bundle):
    """The killer waits for a worker to take the case of that name."""
    script = tmp_path / "killer.py"
    script.write_text(KILLER)
    few = [images / "folder0" / f"scan{number}.nii.gz" for number in range(4)]
    arguments = [*few, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--jobs", "2", "--json"]
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    told = {case["case"]: case["error"] for case in json.loads(done.stdout)["cases"]}
    assert told.pop("scan2") == (
        "scan2.nii.gz: its worker died 3 times: too little memory, or a decoder crashed; give fewer --jobs."
    )
    assert list(told.values()) == [None] * 3
    assert finished(tmp_path / "out") == ["scan0", "scan1", "scan3"]
    assert len((tmp_path / "out.deaths").read_text()) == 3


def test_a_request_to_end_leaves_whole_cases_and_says_so(given, tmp_path):
    running = started(*given)
    wait_until(lambda: len(finished(tmp_path / "out")) >= 3, running)
    running.terminate()
    _, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "prostate-seg: interrupted; finished cases are kept." in err.splitlines()
    assert "SIGTERM" not in err
    assert finished(tmp_path / "out") == sorted(os.listdir(tmp_path / "out"))
    assert 3 <= len(finished(tmp_path / "out")) < CASES


KILLER = """
import os
import sys
from prostate_seg.cases import ray_engine
from prostate_seg.cli import main

class Deadly(ray_engine.Worker):
    def segment(self, case, options):
        if case.name == "scan2":
            with open(f"{options.output}.deaths", "a") as file:
                file.write("x")
            os._exit(9)
        return super().segment(case, options)

ray_engine.Worker = Deadly
sys.exit(main(["segment", *sys.argv[1:], "--engine", "ray", "--format", "nifti", "--tta", "none"]))
"""


def test_after_one_worker_has_started_3_that_die_at_their_start_do_not_stop_its_4_cases(
    images, tmp_path, tiny_bundle
):
    """The first worker does nothing before three others died."""
    script = tmp_path / "starts.py"
    script.write_text(STARTS)
    few = [images / "folder0" / f"scan{number}.nii.gz" for number in range(4)]
    arguments = [*few, "-o", tmp_path / "out", "--bundle", tiny_bundle, "--jobs", "2"]
    done = ended(sys.executable, script, *map(str, arguments))
    assert done.returncode == 0, done.stderr
    assert finished(tmp_path / "out") == ["scan0", "scan1", "scan2", "scan3"]
    assert len((tmp_path / "out.deaths").read_text()) == 3
    shutil.rmtree(tmp_path / "out")
    done = ended(sys.executable, script, *map(str, arguments))
    assert done.returncode == 2
    assert "Ray workers died while they loaded the network (ActorDiedError), none could" in done.stderr


STARTS = """
import os
import sys
import time
from prostate_seg.cases import ray_engine
from prostate_seg.cli import main

class Deadly(ray_engine.Worker):
    def start(self, load, folder, environment):
        try:
            os.mkdir(f"{OUT}.first")
        except FileExistsError:
            with open(f"{OUT}.deaths", "a") as file:
                file.write("x")
            os._exit(9)
        return super().start(load, folder, environment)

    def segment(self, case, options):
        until = time.monotonic() + 60
        while time.monotonic() < until and not (os.path.exists(DEATHS) and os.path.getsize(DEATHS) >= 3):
            time.sleep(0.1)
        return super().segment(case, options)

OUT = sys.argv[sys.argv.index("-o") + 1]
DEATHS = f"{OUT}.deaths"
ray_engine.Worker = Deadly
sys.exit(main(["segment", *sys.argv[1:], "--engine", "ray", "--format", "nifti", "--tta", "none"]))
"""
