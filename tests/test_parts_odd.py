"""Parts that ran twice, stopped or were damaged, and merging them again."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from archives import CASES, QUICK, archive, outcomes_of, ran

from prostate_seg.cases import segment as segmentation
from prostate_seg.cases.parts import Part, Record, recorded
from prostate_seg.cases.ray_engine import Worker
from prostate_seg.cli import main
from prostate_seg.errors import SettingsError
from prostate_seg.system.half_written import hidden_folder


@pytest.fixture(scope="module")
def parts(tiny_bundle, tmp_path_factory):
    """Two parts with a case each: in/ and the results one/scan0, two/scan0-2."""
    place = tmp_path_factory.mktemp("parts")
    archive(place / "in", 2)
    for number, name in enumerate(("one", "two"), 1):
        given = [
            "segment",
            place / "in",
            "-o",
            place / name,
            "--bundle",
            tiny_bundle,
            *QUICK,
            "--part",
            f"{number}/2",
        ]
        assert main([*map(str, given)]) == 0
    return place


@pytest.fixture
def merge(parts, tmp_path, monkeypatch, capsys):
    """Runs merge in a folder with copies of both parts: (exit status, stdout, stderr)."""
    for name in ("one", "two"):
        shutil.copytree(parts / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: ran(capsys, "merge", *(arguments or ("one", "two", "-o", "all")))


def change(file, **entries):
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


def test_a_case_that_another_process_finished_meanwhile_is_1_skipped_and_0_failed(
    parts, tiny_bundle, tmp_path, monkeypatch, capsys
):
    read = segmentation.read_case

    def read_late(case, **acquisition):
        if not (tmp_path / "scan0").exists():
            shutil.copytree(parts / "one" / "scan0", tmp_path / "scan0")
        return read(case, **acquisition)

    monkeypatch.setattr(segmentation, "read_case", read_late)
    given = ("segment", parts / "in", "-o", tmp_path, "--bundle", tiny_bundle, *QUICK, "--part", "1/2")
    status, out, err = ran(capsys, *given, "--skip-existing", "--json")
    assert status == 0, err
    assert [(case["skipped"], case["error"]) for case in json.loads(out)["cases"]] == [(True, None)]
    assert Record.read(tmp_path / "part-1-of-2.json").done == ("scan0",)


def test_a_rerun_that_stops_after_1_of_3_cases_keeps_the_entries_of_the_other_2(tmp_path):
    record = Record.of(Part(1, 2), CASES)
    list(recorded(outcomes_of("scan0", "!scan0-2", "scan0-3"), record, tmp_path))
    again = recorded(outcomes_of("!scan0", "scan0-2"), record, tmp_path)
    next(again)
    again.close()
    kept = Record.read(tmp_path / "part-1-of-2.json")
    assert kept.done == ("scan0-3",)
    assert sorted(kept.failed) == ["scan0", "scan0-2"]
    others = replace(record, settings_sha256="of another format")
    list(recorded(outcomes_of("scan0"), others, tmp_path))
    assert Record.read(tmp_path / "part-1-of-2.json") == replace(others, done=("scan0",))


def test_a_record_is_complete_after_3_of_3_cases_were_attempted_and_not_after_2(tmp_path):
    for cases, complete in ((("scan0", "!scan0-2"), False), (("scan0", "!scan0-2", "scan0-3"), True)):
        list(recorded(outcomes_of(*cases), Record.of(Part(1, 2), CASES), tmp_path))
        assert json.loads((tmp_path / "part-1-of-2.json").read_text())["complete"] is complete


def remove(case):
    (case / "ctv.nii.gz").unlink()


def empty(case):
    (case / "ctv.nii.gz").write_bytes(b"")


def link(case):
    (case / "ctv.nii.gz").rename(case.parent / "elsewhere")
    (case / "ctv.nii.gz").symlink_to("../elsewhere")


def link_all(case):
    case.rename(case.parent / "elsewhere")
    case.symlink_to("elsewhere")


def forget(case):
    change(case / "manifest.json", outputs_sha256={})


def climb(case):
    change(case / "manifest.json", outputs_sha256={"../part-1-of-2.json": "0"}, outputs=["manifest.json"])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove, "has no file ctv.nii.gz"),
        (empty, "holds ctv.nii.gz, which was changed"),
        (link, "or only a symbolic link"),
        (link_all, "has no file manifest.json, or only a symbolic link"),
        (forget, "has no digest of ctv.nii.gz"),
        (climb, "has no file ../part-1-of-2.json"),
    ],
)
def test_a_damaged_case_fails_in_the_merge_and_1_of_2_is_done(merge, damage, reason, tmp_path):
    damage(tmp_path / "one" / "scan0")
    status, _, err = merge()
    assert status == 1
    assert reason in err
    assert "1 of 2 cases" in err
    assert sorted(path.name for path in (tmp_path / "all").glob("scan*")) == ["scan0-2"]


def test_only_the_2_files_of_the_manifest_are_copied(merge, tmp_path):
    (tmp_path / "one" / "scan0" / "notes.txt").write_text("by a user")
    assert merge()[0] == 0
    assert sorted(os.listdir(tmp_path / "all" / "scan0")) == ["ctv.nii.gz", "manifest.json"]


def test_merging_again_replaces_a_redone_case_and_keeps_one_that_differs_only_in_times(merge, tmp_path):
    assert merge()[0] == 0
    change(tmp_path / "one" / "scan0" / "manifest.json", warnings=["redone"])
    change(tmp_path / "two" / "scan0-2" / "manifest.json", timing_s={"read": 77.0})
    assert merge()[0] == 0
    of = {
        case["case"]: case["manifest"]
        for case in json.loads((tmp_path / "all" / "merged.json").read_text())["cases"]
    }
    assert of["scan0"]["warnings"] == ["redone"]
    assert of["scan0-2"]["timing_s"]["read"] < 77
    for case, manifest in of.items():
        assert json.loads((tmp_path / "all" / case / "manifest.json").read_text()) == manifest


def test_a_result_that_was_edited_after_the_merge_is_kept_and_its_case_fails(merge, tmp_path):
    assert merge()[0] == 0
    mask = tmp_path / "all" / "scan0" / "ctv.nii.gz"
    mask.write_bytes(b"edited")
    status, _, err = merge()
    assert (status, mask.read_bytes()) == (1, b"edited")
    assert "failed: scan0: " in err
    assert (
        "was changed since it was written and would be lost; move it away or give another output folder (-o)."
        in err
    )


def test_parts_of_different_settings_or_bundles_exit_1_with_a_sentence_each(merge, tmp_path):
    change(tmp_path / "one" / "part-1-of-2.json", settings_sha256="of another format")
    bundle = {"name": "mine", "version": "1", "sha256": "0", "config_sha256": "0"}
    change(tmp_path / "one" / "scan0" / "manifest.json", bundle=bundle)
    status, _, err = merge()
    assert status == 1
    assert "incomplete: the parts were made with different settings (formats, ensembling" in err
    assert "incomplete: the cases were made with 2 different bundles" in err


def test_each_of_5_settings_and_3_files_of_weights_changes_the_digest_of_a_part(
    parts, tiny_bundle, tmp_path, capsys
):
    variants = [(), ("--tta", "flip"), ("--format", "nrrd"), ("--no-refine",), ("--probe-side", "bottom")]
    bundle = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    digests = set()

    def add(*variant):
        out = tmp_path / str(len(digests))
        given = ("segment", parts / "in", "-o", out, "--bundle", bundle, "--part", "3/3")
        assert ran(capsys, *given, *variant)[0] == 0
        digests.add(Record.read(out / "part-3-of-3.json").settings_sha256)

    for variant in variants:
        add(*variant)
    for name in ("structures.pt", "urethra.pt", "things.pt"):
        (bundle / "models" / name).write_bytes(b"others")
        add()
    assert len(digests) == 8


@pytest.mark.parametrize("output", ["one", "one/all"])
def test_the_output_folder_of_2_folders_is_neither_one_of_them_nor_in_one(merge, tmp_path, output):
    before = sorted(tmp_path.rglob("*"))
    status, _, err = merge("one", "two", "-o", output)
    assert status == 2
    assert f"-o {output} is in {tmp_path / 'one'}, one of the 2 folders to merge; leave that one out" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_merge_left_of_the_cases_is_removed_by_the_next(merge, tmp_path):
    for name in ("scan0", "others"):
        with hidden_folder(tmp_path / "all" / name) as hidden:
            shutil.copytree(hidden, tmp_path / "all" / f".0123abcd-{name}")
    assert merge()[0] == 0
    assert [path.name for path in (tmp_path / "all").glob(".*")] == [".0123abcd-others"]


def test_of_30_thousand_parts_21_lines_tell_the_missing_ones(merge, tmp_path):
    record = Record.read(tmp_path / "one" / "part-1-of-2.json")
    replace(record, part=Part(1, 30_000), all_cases=1).write(tmp_path / "many")
    status, _, err = merge("many")
    assert status == 2
    assert err.count("incomplete: ") == 21
    assert "incomplete: 29979 more parts are missing; merged.json lists them." in err


def test_a_case_with_the_name_of_a_file_of_merge_fails_and_the_other_is_done(merge, tmp_path):
    (tmp_path / "one" / "scan0").rename(tmp_path / "one" / "Merged.json")
    change(tmp_path / "one" / "part-1-of-2.json", cases=["Merged.json"], done=["Merged.json"])
    status, _, err = merge()
    assert status == 1
    assert "failed: Merged.json: this name is that of a file of merge; rename the image" in err
    assert json.loads((tmp_path / "all" / "merged.json").read_text())["missing_parts"] == []


@pytest.mark.parametrize("address", ["", "local"])
def test_an_address_that_would_start_a_local_ray_is_refused(parts, tmp_path, capsys, address):
    pytest.importorskip("ray")
    given = ("segment", parts / "in", "-o", tmp_path, "--engine", "ray", "--address", address)
    status, _, err = ran(capsys, *given)
    assert status == 2
    assert f"--address is '{address}', expected HOST:PORT or auto; leave it out" in err


def test_a_worker_without_the_working_directory_names_it_and_not_the_memory(tmp_path):
    with pytest.raises(SettingsError, match=r"The working directory .*absent cannot be used on .*No such file"):
        Worker().start(lambda: None, str(tmp_path / "absent"), {})
