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


@pytest.mark.parametrize(
    ("file", "of_task"),
    [
        ("nextflow/main.nf", {"${part}": "2", "${params.parts}": "3", "${params.options}": "OPTIONS"}),
        ("wdl/segment.wdl", {"~{part}": "2", "~{parts}": "3", "~{options}": "OPTIONS"}),
    ],
)
def test_the_commands_of_a_workflow_do_2_of_3_parts_and_merge_them(
    repository, path, tiny_bundle, tmp_path, file, of_task
):
    """The commands are those of the file, with the values that an engine puts into them."""
    images = archive(tmp_path / "archive", 3)
    text = (repository / "examples" / file).read_text()
    commands = re.findall(r'"""\n(.*?)"""|<<<\n(.*?)>>>', text, re.DOTALL)
    segment, merge = ("".join(found).replace("\\\\\n", "\\\n") for found in commands)
    options = f"--bundle {tiny_bundle} {' '.join(QUICK)}"
    values = {"${archive}": str(images), "~{archive}": str(images), "${task.cpus}": "1", "~{cpus}": "1"}
    values |= {"${parts}": "part-*", '~{sep(" ", quote(results))}': "part.tar"} | of_task
    for command in (segment, merge):
        filled = functools.reduce(lambda text, name: text.replace(name, values[name]), values, command)
        run(filled.replace("OPTIONS", options), path, tmp_path)
    summary = json.loads((tmp_path / "all" / "merged.json").read_text())
    assert (summary["parts"], summary["missing_parts"]) == (3, [1, 3])
    assert [case["error"] for case in summary["cases"]] == [None]


def run(command, path, folder):
    environment = os.environ | {"PATH": path}
    subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True, capture_output=True)
