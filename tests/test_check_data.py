"""``check-data``: a clean set has no finding; each planted fault is found, and nothing else."""

import json
import re

import numpy as np
import pytest
from planted_faults import FAULTS
from training_sets import clean_set, copied, save

from prostate_seg.cli import main


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return clean_set(tmp_path_factory.mktemp("clean") / "data")


def findings(folder, capsys, *options):
    status = main(["check-data", str(folder), "--json", *options])
    return status, json.loads(capsys.readouterr().out)["findings"]


def test_twelve_phantoms_of_twelve_patients_have_no_finding(clean, capsys):
    assert findings(clean, capsys) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_the_only_finding(clean, tmp_path, capsys, name):
    plant, kind, cases = FAULTS[name]
    data = copied(clean, tmp_path / "data")
    plant(data)
    status, found = findings(data.save(), capsys)
    assert [(one["kind"], sorted(one["cases"])) for one in found] == [(kind, sorted(cases))]
    assert status == 1
    assert found[0]["sentence"].endswith(".")


def test_two_processes_find_what_one_finds_and_a_line_names_kind_case_number_and_remedy(clean, tmp_path, capsys):
    data = copied(clean, tmp_path / "data")
    data.draw("c3", lambda mask: mask & (np.arange(14) != 7))
    data.cases["c9"]["patient"] = "P1"
    assert main(["check-data", str(data.save() / "datalist.json"), "--jobs", "2"]) == 1
    gaps, leak = capsys.readouterr().out.splitlines()
    assert gaps.startswith(
        "error: gaps: c3: the mask of CTV is missing on 1 slice between its first and last one (8)"
    )
    assert leak.startswith(
        "error: patient_leak: c1, c9: these cases are of one patient and in training and validation"
    )
    assert "P1" not in leak


def test_the_page_shows_the_cases_with_findings_at_their_slice_and_needs_no_network(clean, tmp_path, capsys):
    data = copied(clean, tmp_path / "data")
    data.draw("c3", lambda mask: mask & (np.arange(14) != 7))
    data.cases["c9"]["image"] = "images/c99.nii.gz"
    out = tmp_path / "new" / "out"
    assert main(["check-data", str(data.save()), "-o", str(out)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "report.html")
    page = (out / "report.html").read_text("utf-8")
    assert page.count("<svg") == 2  # the missing slice, and the largest one
    assert "<figcaption>Slice 8</figcaption>" in page
    assert not re.findall(r"https?:(?!//www\.w3\.org/)", page)
    assert "11 cases that could be read" in page
    content = json.loads((out / "findings.json").read_text())
    assert [one["kind"] for one in content["findings"]] == ["gaps", "invalid_entry"]
    assert len(content["cases"]) == 11
    assert main(["check-data", str(data.folder), "-o", str(out)]) == 1  # its own files may be replaced


def test_a_foreign_report_is_not_replaced(clean, tmp_path, capsys):
    (tmp_path / "report.html").write_text("mine")
    assert main(["check-data", str(clean), "-o", str(tmp_path)]) == 2
    assert "holds report.html, which prostate-seg did not write" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "holds no case; add cases, or make one by prostate-seg prepare"),
        ([1], "expected lists named training, validation, testing"),
        ({"training": [{"image": "absent.nii.gz", "label": "absent.nii.gz"}]}, "no case could be read"),
    ],
)
def test_if_nothing_can_be_checked_the_status_is_2(tmp_path, capsys, content, text):
    save(tmp_path, content)
    assert main(["check-data", str(tmp_path)]) == 2
    assert text in capsys.readouterr().err


def test_a_folder_without_a_datalist_and_no_jobs_are_refused(clean, tmp_path, capsys):
    assert main(["check-data", str(tmp_path)]) == 2
    assert "datalist.json cannot be read: No such file" in capsys.readouterr().err
    assert main(["check-data", str(clean), "--jobs", "0"]) == 2
    assert "at least 1, got 0" in capsys.readouterr().err


def test_each_of_the_26_checks_of_the_documentation_has_a_planted_fault(repository):
    rows = re.findall(r"^\| `(\w+)` \|", (repository / "docs" / "check-data.md").read_text(), re.MULTILINE)
    assert len(rows) == 26
    assert set(rows) == {kind for _, kind, _ in FAULTS.values()}
