"""An archive in parts: who gets which case, what a part records, and what ``merge`` makes of the parts."""

import functools
import json
import os
import re
import shutil
from dataclasses import replace

import pytest
from archives import CASES, QUICK, archive, contents, outcomes_of, ran, started, timeless

from prostate_seg.cases.parts import Part, Record, recorded
from prostate_seg.cli import main
from prostate_seg.errors import InputError, SettingsError
from prostate_seg.system.half_written import hidden_folder, remove_abandoned


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return archive(tmp_path_factory.mktemp("archive"), 5)


@pytest.fixture
def verb(capsys):
    """Runs a verb: (exit status, stdout, stderr)."""
    return functools.partial(ran, capsys)


@pytest.fixture
def segment(verb, images, tiny_bundle):
    return lambda *arguments, given=images: verb("segment", given, "--bundle", tiny_bundle, *QUICK, *arguments)


@pytest.fixture(scope="module")
def halves(images, tiny_bundle, tmp_path_factory):
    """Both halves of the archive in one folder, which the tests copy."""
    out = tmp_path_factory.mktemp("halves") / "out"
    for part in ("1/2", "2/2"):
        arguments = [images, "-o", out, "--bundle", tiny_bundle, *QUICK, "--part", part]
        assert main(["segment", *map(str, arguments)]) == 0
    return out


def test_five_cases_in_three_parts_are_2_2_and_1_and_every_case_is_in_one():
    shares = [Part(number, 3).share(CASES) for number in (1, 2, 3)]
    assert [len(share) for share in shares] == [2, 2, 1]
    assert shares[1] == ["scan1", "scan0-3"]
    assert sorted(name for share in shares for name in share) == sorted(CASES)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0/4", "is '0/4', expected K/N with K from 1 to N, such as 2/8, or slurm"),
        ("5/4", "is 5/4, expected a part from 1/4 to 4/4"),
        ("-1/4", "expected K/N"),
        ("1", "expected K/N"),
        ("1/2/3", "expected K/N"),
        ("\N{SUPERSCRIPT TWO}/4", "expected K/N"),
        ("slurm", "needs SLURM_ARRAY_TASK_ID, SLURM_ARRAY_TASK_MIN, SLURM_ARRAY_TASK_COUNT"),
    ],
)
def test_what_is_no_part_is_refused_in_a_sentence(text, reason):
    with pytest.raises(SettingsError, match=reason):
        Part.parse(text, {})


def slurm(task, first, count, step=1):
    names = ("ID", "MIN", "COUNT", "STEP")
    values = zip(names, (task, first, count, step), strict=True)
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values}


@pytest.mark.parametrize(
    ("array", "part"),
    [(slurm(3, 1, 4), "3/4"), (slurm(0, 0, 4), "1/4"), (slurm(9, 5, 3, 2), "3/3")],
)
def test_the_third_task_of_an_array_is_the_third_part_whatever_its_first_number_is(array, part):
    assert str(Part.parse("slurm", array)) == part


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (slurm(7, 1, 3), "the array has 3 tasks from 1, but this is task 7; give the array without gaps"),
        (slurm(4, 1, 3, 2), "without gaps"),
        (slurm(0, 0, 1), "single task 0, which would be the whole archive; .* give --part K/N"),
        (slurm(1, 1, 1), "single task 1, .* for the whole archive leave --part out"),
        (slurm("x", 1, 1), "sbatch --array=1-N"),
        (slurm(1, 1, 1, 0), "without gaps"),
    ],
)
def test_an_array_with_gaps_or_of_one_repeated_task_is_refused(array, reason):
    with pytest.raises(SettingsError, match=reason):
        Part.parse("slurm", array)


def test_a_record_is_read_as_it_was_written_with_1_case_done_1_failed_and_1_to_do(tmp_path):
    record = Record.of(Part(1, 2), CASES)
    passed = recorded(outcomes_of("scan0", "!scan0-2"), record, tmp_path)
    assert [outcome.case for outcome in passed] == ["scan0", "scan0-2"]
    read = Record.read(tmp_path / "part-1-of-2.json")
    assert (read.part, read.all_cases, read.cases) == (Part(1, 2), 5, ("scan0", "scan0-2", "scan0-3"))
    assert (read.done, read.failed) == (("scan0",), {"scan0-2": "it has no slices."})
    assert os.listdir(tmp_path) == ["part-1-of-2.json"]


def test_a_part_that_is_stopped_has_recorded_its_first_case(tmp_path):
    passed = recorded(outcomes_of("scan0", "scan0-2"), Record.of(Part(1, 2), CASES), tmp_path)
    next(passed)
    assert Record.read(tmp_path / "part-1-of-2.json").done == ("scan0",)
    passed.close()
    assert Record.read(tmp_path / "part-1-of-2.json").done == ("scan0",)


def test_a_part_that_could_not_begin_records_nothing_but_one_without_cases_does(tmp_path):
    list(recorded(outcomes_of(), Record.of(Part(1, 2), CASES), tmp_path))
    list(recorded(outcomes_of(), Record.of(Part(7, 7), CASES), tmp_path))
    assert os.listdir(tmp_path) == ["part-7-of-7.json"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"made_by": "me"}, "something else made it"),
        ({"part": 3}, "expected a part from 1/2 to 2/2"),
        ({"part": True}, "an entry is missing"),
        ({"cases": ["../../etc"]}, "an entry is missing"),
        ({"cases": ["scan0"]}, "contradict each other"),
        ({"done": ["scan1"]}, "contradict each other"),
        ({"done": ["scan0"], "failed": {"scan0": "No."}}, "contradict each other"),
        ({"part": 2, "cases": ["scan1", "scan1-2"]}, r"its content is that of part-2-of-2\.json"),
        ({"all_cases": 1_000_000_000}, "contradict each other"),
        ({"cases": ["a" * 300, "scan0-2", "scan0-3"]}, "an entry is missing"),
        ({"failed": ["scan0"]}, "an entry is missing"),
    ],
)
def test_a_changed_record_is_refused_with_its_name(tmp_path, change, reason):
    Record.of(Part(1, 2), CASES).write(tmp_path)
    file = tmp_path / "part-1-of-2.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InputError, match=rf"part-1-of-2\.json is no record of .*{reason}"):
        Record.read(file)


def test_a_part_removes_what_was_left_of_its_own_case_and_keeps_that_of_another(tmp_path):
    """Both are locked by nobody, as on a disk that does not show the locks of other computers."""
    for name in ("mine", "yours"):
        with hidden_folder(tmp_path / name) as hidden:
            shutil.copytree(hidden, tmp_path / f".0123abcd-{name}")
    remove_abandoned(tmp_path, {"mine"})
    assert os.listdir(tmp_path) == [".0123abcd-yours"]


def test_two_halves_merged_in_place_are_byte_for_byte_one_run_but_for_times(halves, segment, verb, tmp_path):
    _, told, _ = segment("-o", tmp_path / "whole", "--json", "--review")
    shutil.copytree(halves, tmp_path / "out")
    status, out, err = verb("merge", tmp_path / "out", "--json")
    assert status == 0
    assert err.splitlines() == ["5 of 5 cases of 2 of 2 parts are done"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "out")) == 10
    assert (tmp_path / "out" / "review.csv").read_bytes() == (tmp_path / "whole" / "review.csv").read_bytes()
    one, merged = (json.loads(text)["cases"] for text in (told, out))
    assert [case["case"] for case in merged] == CASES
    assert [timeless(case["manifest"])[0] for case in merged] == [timeless(case["manifest"])[0] for case in one]
    written = json.loads((tmp_path / "out" / "merged.json").read_text())
    assert [case["manifest"] for case in written["cases"]] == [case["manifest"] for case in merged]


def test_parts_of_folders_of_their_own_are_copied_and_merging_again_changes_nothing(halves, verb, tmp_path):
    for number in (1, 2):
        part = shutil.copytree(halves, tmp_path / f"out{number}")
        (part / f"part-{3 - number}-of-2.json").unlink()
    folders = [tmp_path / "out1", tmp_path / "out2", "-o", tmp_path / "all"]
    assert verb("merge", *folders)[0] == 0
    assert contents(tmp_path / "all") == contents(halves)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("scan*/*")}
    status, out, _ = verb("merge", *folders)
    assert (status, out.split()) == (0, [str(tmp_path / "all" / name) for name in RESULTS])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "all").glob("scan*/*")} == before


RESULTS = ("merged.json", "review.csv", "review.html")


def test_of_two_parts_a_missing_one_is_named_and_the_exit_status_is_1(halves, verb, tmp_path):
    shutil.copytree(halves, tmp_path / "out")
    (tmp_path / "out" / "part-2-of-2.json").unlink()
    status, _, err = verb("merge", tmp_path / "out")
    assert status == 1
    assert "incomplete: part 2/2 is missing: there is no part-2-of-2.json; run segment --part 2/2." in err
    assert "3 of 3 cases of 1 of 2 parts are done" in err
    assert json.loads((tmp_path / "out" / "merged.json").read_text())["missing_parts"] == [2]


def test_a_failed_case_an_unfinished_one_and_a_lost_one_are_told_apart(halves, verb, tmp_path):
    out = shutil.copytree(halves, tmp_path / "out")
    Record(
        **vars(Record.read(out / "part-1-of-2.json")) | {"done": ("scan0",), "failed": {"scan0-2": "No."}}
    ).write(out)
    shutil.rmtree(out / "scan1")
    status, _, err = verb("merge", out)
    assert status == 1
    assert "failed: scan0-2: No." in err
    assert "failed: scan0-3: part 1/2 ended before it was done; run it again with --skip-existing." in err
    assert "failed: scan1: part 2/2 finished it, but its results are not in" in err
    assert "2 of 5 cases" in err


def test_parts_of_archives_of_5_and_6_cases_are_told_with_the_case_that_both_have(halves, verb, tmp_path):
    out = shutil.copytree(halves, tmp_path / "out")
    more = Record.of(Part(2, 2), ["scan9", *CASES])
    replace(more, done=more.cases[:1]).write(out)
    status, _, err = verb("merge", out)
    assert status == 1
    assert "the parts saw different archives (of 5 and 6 cases)" in err
    assert "incomplete: scan0 is in the parts 1/2 and 2/2" in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["absent"], "absent is no folder"),
        (["empty"], r"empty: no part-K-of-N\.json, expected the results of segment --part"),
        (["out", "copy"], "merge got 2 folders; give the folder of the whole by -o"),
        (["out", "copy", "-o", "all"], "Part 1/2 has a record in .*; leave one of the folders out"),
        (["mixed"], "runs with 2 and 3 parts, expected one run; remove the part-.-of-2.json or the others"),
        (["out", "-o", "foreign"], "holds merged.json, which prostate-seg did not write"),
    ],
)
def test_what_cannot_be_merged_exits_2_with_a_reason_and_writes_nothing(
    halves, verb, tmp_path, monkeypatch, arguments, reason
):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "foreign"):
        (tmp_path / name).mkdir()
    (tmp_path / "foreign" / "merged.json").write_text("{}")
    for name in ("out", "copy", "mixed"):
        shutil.copytree(halves, tmp_path / name)
    Record.of(Part(3, 3), CASES).write(tmp_path / "mixed")
    before = sorted(tmp_path.rglob("*"))
    status, out, err = verb("merge", *arguments)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert re.search(reason, line)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_part_of_a_review_or_of_a_file_of_someone_else_is_refused_before_a_case_is_read(segment, tmp_path):
    status, _, err = segment("-o", tmp_path / "out", "--part", "1/2", "--review")
    assert (status, os.listdir(tmp_path)) == (2, [])
    assert "--review is about all cases, --part about some; leave it to prostate-seg merge." in err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-1-of-2.json").write_text("{}")
    status, _, err = segment("-o", tmp_path / "out", "--part", "1/2")
    assert status == 2
    assert "holds part-1-of-2.json, which prostate-seg did not write" in err


def test_a_part_without_cases_is_done_with_exit_0(segment, tmp_path):
    status, _, err = segment("-o", tmp_path / "out", "--part", "6/6")
    assert status == 0
    assert err.splitlines() == ["part 6/6: 0 of 5 cases"]
    assert Record.read(tmp_path / "out" / "part-6-of-6.json").cases == ()


@pytest.mark.slow
def test_a_part_goes_on_where_it_stopped_and_2_of_its_3_cases_are_skipped(halves, segment, tmp_path):
    out = shutil.copytree(halves, tmp_path / "out")
    shutil.rmtree(out / "scan0-2")
    status, told, _ = segment("-o", out, "--part", "1/2", "--skip-existing", "--json")
    assert status == 0
    assert [case["skipped"] for case in json.loads(told)["cases"]] == [True, False, True]
    assert Record.read(out / "part-1-of-2.json").done == ("scan0", "scan0-2", "scan0-3")


def test_two_parts_at_once_in_one_folder_do_their_3_and_2_cases(images, tiny_bundle, tmp_path):
    given = ("segment", images, "-o", tmp_path / "out", "--bundle", tiny_bundle, *QUICK)
    both = [started(*given, "--part", part) for part in ("1/2", "2/2")]
    told = [process.communicate(timeout=170) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert [out.count("manifest.json") for out, _ in told] == [3, 2]
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*CASES, "part-1-of-2.json", "part-2-of-2.json"])
