"""Whoever keeps a file of their own where results go does not lose it."""

import json
import os

import pytest
from cubes import cube, fill

from prostate_seg.cli import main
from prostate_seg.errors import OutputError
from prostate_seg.report import write_review

MANIFEST = {"uncertainty": {}, "extent_mm": {"axes": [1, 1, 1]}, "volume_ml": 1.0, "warnings": []}


def run(*arguments):
    return main(list(map(str, arguments)))


@pytest.fixture
def masks(tmp_path):
    return fill(tmp_path / "m", a=cube(4, 14), b=cube(4, 13)), fill(tmp_path / "r", a=cube(4, 14), b=cube(4, 14))


def refused(out, name, status, err):
    assert status == 2
    assert f"{out} holds {name}, which" in err
    assert "would be lost" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["report.html", "metrics.csv", "metrics.json", "observers.csv"])
def test_l2_evaluate_keeps_a_file_of_this_name_that_it_did_not_write(masks, tmp_path, capsys, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("<h1>Evaluation</h1> of somebody else")
    refused(out, name, run("evaluate", *masks, "-o", out), capsys.readouterr().err)
    assert os.listdir(out) == [name]
    assert (out / name).read_text() == "<h1>Evaluation</h1> of somebody else"


def test_l2_evaluate_deletes_none_of_3_pages_of_another_in_cases(masks, tmp_path, capsys):
    pages = tmp_path / "out" / "cases"
    pages.mkdir(parents=True)
    for number in range(3):
        (pages / f"{number}.html").write_text("mine")
    refused(
        pages, "0.html, 1.html, 2.html", run("evaluate", *masks, "-o", tmp_path / "out"), capsys.readouterr().err
    )
    assert len(os.listdir(pages)) == 3
    assert os.listdir(tmp_path / "out") == ["cases"]


def test_l2_a_report_of_a_segmented_case_is_no_report_of_an_evaluation(masks, tmp_path, capsys):
    from prostate_seg.report.page import write_page

    write_page(tmp_path / "report.html", "Prostate CTV: case 1", [])
    refused(tmp_path, "report.html", run("evaluate", *masks, "-o", tmp_path), capsys.readouterr().err)


def test_l2_an_evaluation_and_a_comparison_replace_those_of_an_earlier_run(masks, tmp_path):
    model, reference = masks
    other = fill(tmp_path / "n", a=cube(5, 14), b=cube(5, 13))
    for _ in range(2):
        assert run("evaluate", model, reference, other, "-o", tmp_path / "x") == 0
        assert run("evaluate", model, reference, "-o", tmp_path / "y") == 0
        assert run("evaluate", other, reference, "-o", tmp_path / "z") == 0
        assert run("compare", tmp_path / "y", tmp_path / "z", "-o", tmp_path / "c") == 0
    assert sorted(os.listdir(tmp_path / "c")) == ["cases.csv", "comparison.html", "comparison.json"]
    assert sorted(os.listdir(tmp_path / "y" / "cases")) == ["a.html", "b.html"]


@pytest.mark.parametrize("name", ["comparison.html", "comparison.json", "cases.csv"])
def test_l2_compare_keeps_a_file_of_this_name_that_it_did_not_write(masks, tmp_path, capsys, name):
    for place in ("y", "z"):
        run("evaluate", *masks, "-o", tmp_path / place)
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(json.dumps({"mine": 1}))
    capsys.readouterr()
    refused(out, name, run("compare", tmp_path / "y", tmp_path / "z", "-o", out), capsys.readouterr().err)
    assert os.listdir(out) == [name]


@pytest.mark.parametrize("name", ["review.html", "review.csv"])
def test_l2_a_review_keeps_a_file_of_this_name_that_it_did_not_write(tmp_path, name):
    (tmp_path / name).write_text("place,case,remark")
    with pytest.raises(OutputError, match=f"holds {name}, which prostate-seg did not write"):
        write_review(tmp_path, {"one": MANIFEST})
    assert os.listdir(tmp_path) == [name]


def test_l2_segment_with_a_review_refuses_before_it_segments(nifti_case, tmp_path, capsys):
    (tmp_path / "review.html").write_text("mine")
    status = run("segment", nifti_case[0], "-o", tmp_path, "--review")
    refused(tmp_path, "review.html", status, capsys.readouterr().err)
    assert os.listdir(tmp_path) == ["review.html"]


def test_l2_a_second_review_replaces_the_first(tmp_path):
    for name in ("one", "two"):
        write_review(tmp_path, {name: MANIFEST})
    assert "two" in (tmp_path / "review.csv").read_text()
