"""Places that results cannot go to: one sentence, exit 2, and nothing is changed."""

import os

import numpy as np
import pytest
from cubes import cube, fill

from prostate_seg.cli import main
from prostate_seg.system.atomic import replacing

VERBS = {
    "evaluate": ["m", "r", "-o"],
    "compare": ["e", "f", "-o"],
    "phantom": [],
    "export": ["m/a.nii.gz", "--format", "nifti", "-o"],
    "segment": ["m/a.nii.gz", "-o"],
    "shape-model": ["--phantoms", "5", "-o"],
    "collect": ["m", "-o"],
    "train": ["--phantoms", "1", "-o"],
}


def run(*arguments):
    try:
        return main(list(map(str, arguments)))
    except SystemExit as left:
        return left.code


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "mr":
        fill(tmp_path / name, a=cube(4, 14))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("file")
    return tmp_path


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("place", ["", "x" * 300, "out/" + "y" * 256])
def test_m_an_empty_path_and_a_name_of_300_characters_exit_2_in_one_line(here, capsys, verb, place):
    before = sorted(here.rglob("*"))
    assert run(verb, *VERBS[verb], place) == 2
    err = capsys.readouterr().err
    assert "a path is empty; give one" in err or "has a name that no file can have; give a shorter one" in err
    assert len(err.splitlines()) == 1
    assert len(err) < 250
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("verb", ["evaluate", "compare", "phantom", "export"])
@pytest.mark.parametrize("place", ["file", "link", "file/below"])
def test_m_a_file_and_a_link_to_one_are_no_folder_for_results(here, capsys, verb, place):
    assert run(verb, *VERBS[verb], place) == 2
    assert f"The output folder {place} cannot be written (Not a directory)" in capsys.readouterr().err
    assert (here / "file").read_text() == "mine"


def test_m_a_folder_name_with_a_line_end_is_shown_in_one_line(here, capsys):
    assert run("evaluate", "m", "r", "-o", "one\ntwo") == 0
    assert capsys.readouterr().err.startswith(r"written: one\ntwo/metrics.csv")
    assert (here / "one\ntwo" / "report.html").is_file()


def test_m_an_evaluation_may_go_into_a_folder_of_its_input_which_then_evaluates_as_before(here):
    assert run("evaluate", "m", "r", "-o", "m/inside") == 0
    assert run("evaluate", "m", "r", "-o", "again") == 0
    assert (here / "m" / "inside" / "metrics.csv").read_text() == (here / "again" / "metrics.csv").read_text()


def test_l2_shape_model_keeps_a_file_that_is_none_and_replaces_one_that_is(here, capsys):
    np.savez(here / "mine.npz", features=np.arange(3))
    kept = (here / "mine.npz").read_bytes()
    assert run("shape-model", "--phantoms", 5, "-o", "mine.npz") == 2
    assert "mine.npz is no shape model and would be lost" in capsys.readouterr().err
    assert (here / "mine.npz").read_bytes() == kept
    for _ in range(2):
        assert run("shape-model", "--phantoms", 5, "-o", "model.npz") == 0


def test_m_shape_model_refuses_a_folder_and_a_place_below_a_file_before_it_computes(here, capsys, monkeypatch):
    (here / "folder.npz").mkdir()
    monkeypatch.setattr("prostate_seg.training.shape_models.shape_model_of", None)
    assert run("shape-model", "--phantoms", 5, "-o", "folder.npz") == 2
    assert run("shape-model", "--phantoms", 5, "-o", "file/model.npz") == 2
    assert "Not a directory" in capsys.readouterr().err
    assert os.listdir(here / "folder.npz") == []


def test_m_collect_does_not_take_a_dangling_link_for_a_free_place(here, capsys):
    from prostate_seg.system.json_files import write_json

    case = here / "cases" / "one"
    case.mkdir(parents=True)
    write_json(case / "manifest.json", {})
    (here / "dangling").symlink_to("nowhere")
    assert run("collect", "cases", "-o", "dangling") == 2
    assert "dangling is there already; give a new folder" in capsys.readouterr().err


def test_c1_collect_leaves_out_a_case_at_which_a_library_fails(here, capsys, monkeypatch):
    from prostate_seg.system.json_files import write_json
    from prostate_seg.training import collect as collection

    for name in ("one", "two"):
        (here / "cases" / name).mkdir(parents=True)
        write_json(here / "cases" / name / "manifest.json", {})

    def taken(case, output, *, unchanged):
        if case.name == "one":
            raise ZeroDivisionError("Patient^Name")
        for part in ("images", "labels"):
            with replacing(output / part / "two.nii.gz") as temporary:
                temporary.touch()
        return {"case": "two", "image": "images/two.nii.gz", "label": "labels/two.nii.gz"}

    monkeypatch.setattr(collection, "_taken", taken)
    assert run("collect", "cases", "-o", "out") == 1
    err = capsys.readouterr().err
    assert "left out one: unexpected ZeroDivisionError in its files" in err
    assert "Patient^Name" not in err
    assert (here / "out" / "datalist.json").is_file()
