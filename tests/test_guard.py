"""Reading in a child process: what a decoder does to it, and what that costs nobody else."""

import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from prostate_seg.errors import GeometryError, InputError, SettingsError
from prostate_seg.geometry.volume import Volume
from prostate_seg.system.guard import GIGABYTES, SECONDS, Limits, guarded


def test_a_call_is_done_in_another_process_and_the_next_one_in_the_same():
    assert guarded(os.getpid) == guarded(os.getpid) != os.getpid()


def test_an_array_comes_back_with_its_values_its_layout_and_writable():
    array = np.asfortranarray(np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
    back = guarded(np.asarray, array)
    assert (back == array).all()
    assert back.dtype == np.uint16
    assert back.strides == array.strides
    assert back.flags.writeable


def test_an_error_of_this_package_comes_back_as_it_is_with_the_childs_traceback():
    with pytest.raises(GeometryError, match="A volume has 3 axes, got 2") as caught:
        guarded(Volume, np.zeros((2, 3)), np.eye(4))
    assert "Traceback" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("function", "argument", "sentence"),
    [
        (os.abort, (), "its decoder crashed or took more than 1.5 GB"),
        (os._exit, (0,), "its decoder crashed"),
        (bytearray, (3 << 30,), "took more than 1.5 GB; .* give --read-gigabytes"),
        (int, ("x",), r"it cannot be read \(ValueError\)"),
    ],
    ids=["abort", "exit", "3 GiB", "an unexpected error"],
)
def test_s2_whatever_becomes_of_the_child_is_one_sentence_and_the_next_call_is_answered(
    function, argument, sentence
):
    with pytest.raises(InputError, match=sentence):
        guarded(function, *argument)
    assert guarded(abs, -7) == 7


def test_c2_a_call_without_end_ends_at_its_limit(monkeypatch):
    monkeypatch.setenv(SECONDS, "0.5")
    start = time.monotonic()
    with pytest.raises(InputError, match=r"reading took longer than .* give --read-seconds"):
        guarded(time.sleep, 60)
    assert time.monotonic() - start < 30
    assert guarded(abs, -7) == 7


def test_a_megabyte_on_disk_adds_a_second_and_four_megabytes():
    limits = Limits(10, 1.5).for_bytes(10**6)
    assert limits.seconds == 11
    assert limits.gigabytes == pytest.approx(1.5 + 4e6 / 2**30)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (SECONDS, "0", "limit of seconds for reading is 0, expected more than 0"),
        (GIGABYTES, "nan", "limit of gigabytes for reading is nan"),
        (GIGABYTES, "much", "PROSTATE_SEG_READ_GIGABYTES is 'much', expected a number"),
    ],
)
def test_a_limit_that_is_no_positive_number_is_refused(monkeypatch, variable, value, sentence):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=sentence):
        guarded(abs, -7)


def test_calls_from_four_threads_get_their_own_answers():
    answers = {}

    def ask(number):
        answers[number] = [guarded(abs, -number - step) for step in range(20)]

    threads = [threading.Thread(target=ask, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {100 * n: [100 * n + step for step in range(20)] for n in range(4)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_starts_a_child_of_its_own(repository):
    code = (
        "import os\nfrom prostate_seg.system.guard import guarded\nfirst = guarded(os.getpid)\n"
        "if os.fork() == 0:\n    os._exit(guarded(os.getpid) == first)\n"
        "assert os.wait()[1] == 0\nassert guarded(os.getpid) == first\nprint('apart')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("apart\n", "")


def test_a_script_without_a_main_guard_reads_once(repository, nifti_case):
    code = f"print('begins')\nimport prostate_seg\nprint(prostate_seg.read({str(nifti_case[0])!r}).array.shape)"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("begins\n(80, 60, 8)\n", "")


def test_a_module_in_the_current_folder_is_not_imported_by_the_child(repository, tmp_path):
    (tmp_path / "pickle.py").write_text("raise SystemExit('taken from the current folder')")
    code = f"import sys; sys.path[:0] = [{str(repository)!r}]\nfrom prostate_seg.system.guard import guarded\n"
    code += f"import os; os.chdir({str(tmp_path)!r})\nprint(guarded(abs, -7))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_a_result_that_cannot_be_sent_is_one_sentence_and_the_next_call_is_answered():
    with pytest.raises(InputError, match=r"it cannot be read \(TypeError\)"):
        guarded(memoryview, b"7")
    assert guarded(abs, -7) == 7


def test_the_child_runs_the_copy_of_the_package_that_its_parent_runs(repository, tmp_path):
    shutil.copytree(repository / "prostate_seg", tmp_path / "prostate_seg")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from prostate_seg.system.guard import guarded\n"
        "print(guarded(eval, '__import__(\"prostate_seg\").__file__'))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "prostate_seg" / "__init__.py")
