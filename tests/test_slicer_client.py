"""The client of the worker, with real processes: hints outlive a worker that dies, and one sentence says so."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from ProstateSegLib.client import Client, unpacked

from prostate_seg.geometry.volume import volume_ml
from prostate_seg.writing import write

WORKER = [sys.executable, "-m", "prostate_seg", "worker", "--device", "cpu"]


class Heard:
    """What came back, in order."""

    def __init__(self):
        self.done, self.failed, self.progress = [], [], []

    @property
    def functions(self):
        return {"done": self.done.append, "failed": self.failed.append, "progress": self.progress.append}


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture(scope="module")
def client(nifti_case, tmp_path_factory):
    client = Client(WORKER)
    first = Heard()
    folder = str(tmp_path_factory.mktemp("case"))
    client.send("open", "a", image=str(nifti_case[0]), folder=folder, **first.functions)
    client.wait()
    (client.opened,) = first.done
    yield client
    client.close()
    assert not client.running


def apex(slice_):
    return [{"type": "plane", "end": "apex", "slice": slice_}]


def gone(pid, seconds=20):
    """Wait until a process has ended; whether it has."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def script(text):
    """A client of a program that is not prostate-seg."""
    return Client([sys.executable, "-c", text])


def test_the_unpacked_mask_has_the_volume_of_the_reply(client):
    mask = unpacked(client.opened["mask"])
    assert (mask.shape, mask.dtype) == ((80, 60, 8), bool)
    assert volume_ml(mask, np.array(client.opened["grid"]["affine"])) == pytest.approx(client.opened["volume_ml"])
    assert unpacked(client.opened["doubt"]).max() <= 100


def test_a_killed_worker_is_started_again_with_its_1_hint(client, heard):
    client.send("add", "a", hints=apex(3), **heard.functions)
    client.wait()
    os.kill(client._process.pid, signal.SIGKILL)
    while client.running:
        time.sleep(0.01)
    client.send("undo", "a", **heard.functions)
    client.wait()
    assert heard.progress[0] == "prostate-seg is started again, with 1 hints."
    assert heard.failed == []
    before, after = heard.done
    assert len(before["hints"]["hints"]) == 1
    assert after["hints"]["hints"] == []
    assert after["mask"] == client.opened["mask"]


def test_a_worker_killed_while_it_answers_fails_that_request_once_and_keeps_what_was_accepted(client, heard):
    client.send("add", "a", hints=apex(3), **heard.functions)
    client.wait()
    os.kill(client._process.pid, signal.SIGSTOP)  # so that it cannot answer in time
    client.send("add", "a", hints=apex(4), **heard.functions)
    os.kill(client._process.pid, signal.SIGKILL)
    client.wait()
    (sentence,) = heard.failed
    assert sentence.startswith("prostate-seg ended unexpectedly (")
    assert sentence.endswith("the hints given so far are kept, try again.")
    client.send("undo", "a", **heard.functions)
    client.wait()
    assert heard.done[-1]["hints"]["hints"] == []
    assert len(heard.failed) == 1


def test_cancel_ends_the_process_and_a_request_after_it_works(client, heard):
    process = client._process
    client.send("assess", "a", **heard.functions)
    client.cancel()
    assert gone(process.pid, seconds=1)
    assert heard.failed == ["Cancelled; the hints given so far are kept."]
    assert not client.busy
    client.send("assess", "a", **heard.functions)
    client.wait()
    assert heard.done[0]["warnings"] == client.opened["warnings"]


# As PythonSlicer does: the program is a child of the launcher, which holds its streams until it ends.
INHERITS = ["sh", "-c", '"$@"; exit $?', "launcher"]
FORWARDS = [sys.executable, "-c", """if True:
    import subprocess, sys
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, text=True)
    for line in sys.stdin:
        child.stdin.write(line)
        child.stdin.flush()
    child.stdin.close()
    child.wait()"""]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [INHERITS, FORWARDS], ids=["inherits", "forwards"])
def test_cancel_ends_the_child_of_a_launcher_within_1_s_while_it_computes_and_nothing_is_written(
    launcher, heard, tmp_path, small_phantom
):
    write(small_phantom.image, tmp_path / "scan.nrrd")
    client = Client([*launcher, *WORKER])
    folder = tmp_path / "folder"
    folder.mkdir()
    client.send("open", "a", image=str(tmp_path / "scan.nrrd"), folder=str(folder), **heard.functions)
    while "Loading the network." not in heard.progress:
        client.poll()
        time.sleep(0.01)
    (child,) = psutil.Process(client._process.pid).children()
    assert "worker" in child.cmdline()
    client.cancel()
    assert gone(child.pid, seconds=1)
    assert heard.failed == ["Cancelled; the hints given so far are kept."]
    assert list(folder.iterdir()) == []


def test_a_file_that_is_gone_when_the_worker_starts_again_fails_a_request_once(nifti_case, heard, tmp_path):
    copy = tmp_path / "scan.nii.gz"
    copy.write_bytes(nifti_case[0].read_bytes())
    client = Client(WORKER)
    client.send("open", "a", image=str(copy), folder=str(tmp_path), **heard.functions)
    client.wait()
    client.cancel()
    copy.unlink()
    client.send("undo", "a", **heard.functions)
    client.wait()
    assert heard.failed == ["scan.nii.gz: no such file or folder."]
    client.close()


def test_an_error_of_done_is_heard_as_a_failure(client, heard):
    def refuse(_):
        raise RuntimeError("The node was deleted.")

    client.send("assess", "a", **heard.functions | {"done": refuse})
    client.wait()
    assert heard.failed == ["The node was deleted."]


def test_a_program_that_is_absent_is_named(heard):
    Client(["/absent/prostate-seg", "worker"]).send("suggest", "a", **heard.functions)
    assert heard.failed == [
        "/absent/prostate-seg cannot be started (No such file or directory); set the path of prostate-seg."
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("print('hello', flush=True); input()", "does not answer as prostate-seg does"),
        ("print('[1]', flush=True); input(); input()", "does not answer as prostate-seg does"),
        ("print('{\"protocol\": 2, \"version\": \"9\"}', flush=True); input()", "9 speaks protocol 2, this"),
        ("import sys; sys.exit(\"invalid choice: 'worker'\")", "unexpectedly (invalid choice: 'worker')"),
        ("raise SystemExit(3)", "unexpectedly (status 3)"),
    ],
    ids=["other program", "other JSON", "newer version", "older version", "no words"],
)  # fmt: skip
def test_a_program_that_is_no_worker_or_another_version_fails_the_request_in_one_sentence(text, sentence, heard):
    client = script(text)
    client.send("suggest", "a", **heard.functions)
    client.wait(20)
    (failed,) = heard.failed
    assert sentence in failed
    assert not client.running


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], INHERITS, FORWARDS], ids=["no launcher", "inherits", "forwards"])
def test_a_worker_ends_when_the_program_that_started_it_is_killed(launcher):
    code = (
        "import os, psutil, signal\n"
        "from ProstateSegLib.client import Client\n"
        f"c = Client({[*launcher, *WORKER]!r})\n"
        "c.send('suggest', 'a')\nc.wait()\n"
        "worker = psutil.Process(c._process.pid)\n"
        "print(*[one.pid for one in (worker, *worker.children())], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    processes = [int(pid) for pid in done.stdout.split()]
    assert len(processes) == (2 if launcher else 1)
    assert [gone(pid) for pid in processes] == [True] * len(processes)
