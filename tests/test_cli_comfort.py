"""What makes the command line pleasant: examples, completion, quiet and verbose, the summary, a line of means."""

import re
import subprocess
import sys

import pytest

from prostate_seg.cli import VERBS, main
from prostate_seg.writing import write


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_ends_with_examples_that_the_parser_takes(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    shown = capsys.readouterr().out
    commands = re.findall(r"^  prostate-seg (\S.*)$", shown.split("examples:")[1], re.MULTILINE)
    assert commands
    from prostate_seg.cli import parser

    for command in commands:
        assert parser().parse_args(command.split()).verb == verb


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_completion_of_a_shell_names_the_verbs(shell):
    command = [sys.executable, "-m", "prostate_seg", "--print-completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)


def test_quiet_and_verbose_together_are_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["segment", "a", "-o", "b", "--quiet", "--verbose"])
    assert ended.value.code == 2
    assert "--verbose: not allowed with argument -q/--quiet" in capsys.readouterr().err


@pytest.fixture
def segmented(tiny_bundle, nifti_case, tmp_path, capsys):
    def run(*options):
        (tmp_path / "bad.nii.gz").write_bytes(b"no image")
        inputs = [str(nifti_case[0]), str(tmp_path / "bad.nii.gz")]
        common = ["-o", str(tmp_path / "out"), "--bundle", str(tiny_bundle), "--format", "nifti", "--overwrite"]
        status = main(["segment", *inputs, *common, *options])
        return (status, *capsys.readouterr())

    return run


def test_quiet_leaves_errors_and_results_and_verbose_adds_times(segmented):
    status, out, err = segmented("--quiet")
    assert status == 1
    assert out.count("ctv.nii.gz") == 1
    assert [line.split(":")[0] for line in err.splitlines()] == ["[2/2] failed"]
    _, _, err = segmented("--verbose")
    assert re.search(r"^  segment: \d+\.\d s$", err, re.MULTILINE)


def test_a_cohort_ends_with_a_line_that_counts(segmented):
    _, _, err = segmented()
    assert re.fullmatch(r"2 cases in \d+ s: 1 segmented, 1 failed; [01] with notes", err.splitlines()[-1])


def test_evaluate_prints_the_mean_and_says_what_an_infinite_distance_counts(small_phantom, tmp_path, capsys):
    """Dice 1 and 0: the mean is 0.5."""
    from dataclasses import replace

    import numpy as np

    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    for name, empty in (("a", False), ("b", True)):
        truth = small_phantom.truth
        write(truth, tmp_path / "two" / f"{name}.nii.gz")
        found = replace(truth, labels=np.zeros_like(truth.labels)) if empty else truth
        write(found, tmp_path / "one" / f"{name}.nii.gz")
    assert main(["evaluate", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("mean of 2                 0.500")
    assert "an infinite distance counts as the diagonal of its image" in err
