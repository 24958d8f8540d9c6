"""What reaches the terminal: one sentence each, nothing that the terminal obeys, and work that ends without it."""

import logging
import os
import subprocess
import sys
import warnings
from contextlib import suppress

import pytest
from cubes import cube, fill

from prostate_seg.cli import main
from prostate_seg.evaluation import masks_of_pair

ODD = "\x1b[31mred\u202e\x9b2J\nfailed"
SHOWN = r"\x1b[31mred\u202e\x9b2J\nfailed"
OBEYED = set(ODD) - set("[31mred2Jfailed\n")


def run(*arguments):
    return main(list(map(str, arguments)))


def test_s5_a_name_with_escape_sequences_is_shown_escaped_on_both_streams(tmp_path, capsys):
    model, reference = fill(tmp_path / "m", **{ODD: cube(4, 14)}), fill(tmp_path / "r", **{ODD: cube(4, 14)})
    fill(tmp_path / "s", **{"x": cube(4, 14)})
    (tmp_path / "s" / "x.nii.gz").rename(reference / "M\u00fcller.nii.gz")
    assert run("evaluate", model, reference, "-o", tmp_path / ODD) == 1
    told = capsys.readouterr()
    for text in told:
        assert SHOWN in text or text is told.out
        assert not OBEYED & set(text)
        assert all(line.split()[0] != "failed" for line in text.splitlines())
    assert SHOWN in told.out
    assert "failed: M\u00fcller: Expected one prediction of case M\u00fcller" in told.err


def test_s5_a_wrong_argument_and_a_missing_file_are_shown_escaped(tmp_path, capsys):
    for arguments in (["info", ODD], ["evaluate", tmp_path / ODD, tmp_path]):
        with suppress(SystemExit):
            run(*arguments)
        err = capsys.readouterr().err
        assert SHOWN in err
        assert not OBEYED & set(err)
        assert len(err.splitlines()) == 1


def test_s5_what_is_logged_of_a_file_is_shown_escaped(tmp_path, capsys):
    folder = fill(tmp_path / "m", **{f"c{n}": cube(4, 10 + n) for n in range(4)})
    (folder / f"{ODD}.nii.gz").write_bytes(b"no mask")
    run("shape-model", folder, "-o", tmp_path / "shape.npz", "--phantoms", 4)
    err = capsys.readouterr().err
    assert f"WARNING: {SHOWN}.nii.gz skipped" in err
    assert not OBEYED & set(err)


def test_s5_a_link_in_a_case_s_name_is_text_in_plotly_figures(tmp_path):
    name = "<a href=x>"
    model, reference = (fill(tmp_path / place, **{name: cube(4, 14)}) for place in ("m", "r"))
    assert run("evaluate", model, reference, "-o", tmp_path / "out", "--pages", 0) == 0
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert name not in page
    assert '"&lt;a href=x&gt;"' in page


def test_d5_what_libraries_warn_of_is_not_printed_beside_the_sentence(tmp_path, capsys, monkeypatch):
    read = masks_of_pair.read_mask

    def warning(*arguments, **options):
        warnings.warn("a library's warning", RuntimeWarning, stacklevel=1)
        logging.getLogger("some.library").warning("a library's line")
        return read(*arguments, **options)

    monkeypatch.setattr(masks_of_pair, "read_mask", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *about: sys.stderr.write(f"{message}\n")
        model, reference = fill(tmp_path / "m", a=cube(4, 14)), fill(tmp_path / "r", a=cube(4, 14))
        assert run("evaluate", model, reference) == 0
        assert capsys.readouterr().err == ""
        assert run("evaluate", model, reference, "--debug") == 0
    assert capsys.readouterr().err.count("a library's line") == 2


def without_reader(*arguments):
    """Run the command line, its stdout read by nobody."""
    running = subprocess.Popen(
        [sys.executable, "-m", "prostate_seg", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    running.stdout.close()
    return running.stderr.read().decode(), running.wait()


def test_d7_with_stdout_read_by_nobody_3_phantoms_are_made_and_the_exit_status_is_0(tmp_path):
    assert without_reader("phantom", tmp_path / "p", "-n", 3) == ("", 0)
    assert len(os.listdir(tmp_path / "p" / "images")) == 3


@pytest.mark.parametrize("options", [["--json"], []])
def test_d7_an_evaluation_read_by_nobody_is_written_and_exits_0(tmp_path, options):
    model, reference = fill(tmp_path / "m", a=cube(4, 14)), fill(tmp_path / "r", a=cube(4, 14))
    err, status = without_reader("evaluate", model, reference, "-o", tmp_path / "out", *options)
    assert status == 0
    assert err.startswith("written: ")
    assert (tmp_path / "out" / "report.html").is_file()


def test_d7_with_stdout_closed_from_the_start_the_exit_status_is_0(tmp_path):
    command = f"{sys.executable} -m prostate_seg phantom {tmp_path / 'p'} -n 2 >&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_d7_a_stdout_without_space_is_told_in_one_sentence(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    command = f"{sys.executable} -m prostate_seg info > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == (
        "prostate-seg: The output cannot be printed (No space left on device); print it to a place with space.\n"
    )
