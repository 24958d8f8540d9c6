"""The examples of workflow engines, as far as they run on every computer."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from archives import QUICK, archive

pytestmark = pytest.mark.slow


@pytest.fixture
def path(tmp_path):
    """A PATH on which prostate-seg is the one under test."""
    program = tmp_path / "bin" / "prostate-seg"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m prostate_seg "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}{os.pathsep}{os.environ['PATH']}"


def test_three_tasks_of_slurms_script_and_one_again_give_4_cases(repository, path, tiny_bundle, tmp_path):
    """The last task is repeated alone: PARTS says that it is one of three."""
    images, out = archive(tmp_path / "archive", 4), tmp_path / "out"
    script = ["bash", repository / "examples" / "slurm" / "segment.sbatch", images, out]
    names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "COUNT")]
    alone = {"PARTS": "3"}
    for array, parts in (("113", {}), ("213", {}), ("313", {}), ("331", alone)):
        done = subprocess.run(
            [*script, "--bundle", tiny_bundle, *QUICK],
            env=os.environ | {"PATH": path} | dict(zip(names, array, strict=True)) | parts,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "done before, skipped" in done.stderr
    assert sorted(os.listdir(out)) == sorted(
        ["scan0", "scan0-2", "scan0-3", "scan1", *(f"part-{number}-of-3.json" for number in (1, 2, 3))]
    )


def test_the_script_without_a_place_for_results_exits_2_with_its_usage(repository, tmp_path):
    script = ["bash", repository / "examples" / "slurm" / "segment.sbatch", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "usage: sbatch --array=1-N segment.sbatch ARCHIVE RESULTS [OPTIONS]\n"


def test_the_workflow_in_wdl_passes_the_check_of_miniwdl(repository):
    if shutil.which("miniwdl") is None:
        pytest.skip("needs miniwdl")
    workflow = repository / "examples" / "wdl" / "segment.wdl"
    check = ["miniwdl", "check", "--strict", "--suppress", "CommandShellCheck", workflow]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("task ") == 2


FILES = ("nextflow/main.nf", "wdl/segment.wdl")


def commands(repository, file, images, options, *, part, parts):
    """The commands of a workflow, with the values that its engine puts into them; Nextflow escapes spaces."""
    text = (repository / "examples" / file).read_text()
    found = re.findall(r'"""\n(.*?)"""|<<<\n(.*?)>>>', text, re.DOTALL)
    values = {"${archive}": str(images).replace(" ", "\\ "), "~{archive}": str(images)}
    values |= dict.fromkeys(("${task.cpus}", "~{cpus}"), "1") | dict.fromkeys(("${part}", "~{part}"), part)
    values |= dict.fromkeys(("${params.parts}", "~{parts}"), parts)
    values |= dict.fromkeys(("${params.options}", "~{options}"), options)
    values |= {"${parts}": "part-*", '~{sep(" ", quote(results))}': "part.tar"}
    for command in ("".join(pair).replace("\\\\\n", "\\\n") for pair in found):
        yield functools.reduce(lambda filled, name: filled.replace(name, values[name]), values, command)


@pytest.mark.parametrize("file", FILES)
def test_the_commands_of_a_workflow_do_2_of_3_parts_of_an_archive_with_a_space_and_merge_them(
    repository, path, tiny_bundle, tmp_path, file
):
    images = archive(tmp_path / "my archive", 3)
    options = f"--bundle {tiny_bundle} {' '.join(QUICK)}"
    for command in commands(repository, file, images, options, part="2", parts="3"):
        assert run(command, path, tmp_path) == 0
    summary = json.loads((tmp_path / "all" / "merged.json").read_text())
    assert (summary["parts"], summary["missing_parts"]) == (3, [1, 3])
    assert [case["error"] for case in summary["cases"]] == [None]


@pytest.mark.parametrize("file", FILES)
def test_a_task_that_is_killed_fails_and_one_with_a_case_that_cannot_be_read_does_not(
    repository, path, tiny_bundle, tmp_path, file
):
    """The killed one has recorded 1 of its 6 cases."""
    images = archive(tmp_path / "archive", 6)
    segment = next(
        commands(repository, file, images, f"--bundle {tiny_bundle} {' '.join(QUICK)}", part="1", parts="1")
    )
    record = tmp_path / "part-1" / "part-1-of-1.json"
    program = tmp_path / "bin" / "prostate-seg"
    whole = program.read_text()
    killed = (
        whole.replace("exec ", "")
        + f'pid=$!\nuntil [ -e "{record}" ]; do sleep 0.01; done\nkill -9 $pid\nwait $pid\n'
    )
    program.write_text(killed.replace('"$@"', '"$@" &'))
    assert run(segment, path, tmp_path) != 0
    assert 1 <= len(json.loads(record.read_text())["done"]) < 6
    program.write_text(whole)
    shutil.rmtree(tmp_path / "part-1")
    scan = images / "folder0" / "scan0.nii.gz"
    scan.write_bytes(scan.read_bytes()[:-500])
    assert run(segment, path, tmp_path) == 0
    assert sorted(json.loads(record.read_text())["failed"]) == ["scan0"]


def run(command, path, folder):
    environment = os.environ | {"PATH": path}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, check=False, capture_output=True
    ).returncode


def test_task_0_with_parts_exits_2_because_it_is_part_1_of_an_array_from_0(repository, tmp_path):
    script = ["bash", repository / "examples" / "slurm" / "segment.sbatch", tmp_path, tmp_path]
    array = {"SLURM_ARRAY_TASK_ID": "0", "PARTS": "4"}
    done = subprocess.run(script, env=os.environ | array, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "PARTS is for arrays from 1, but this is task 0; give --array=K with K from 1 to 4\n"
