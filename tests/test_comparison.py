import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prostate_seg.cli import main
from prostate_seg.errors import InputError, SettingsError
from prostate_seg.evaluation.comparison import Table, compare, read_table, worst_first


def table(name, dice, patients=None):
    cases = [f"c{index}" for index in range(len(dice))]
    return Table(name, cases, list(patients or cases), {"dice": np.array(dice, float)})


def only(first, second):
    (found,) = compare([first, second], ["dice"])
    return found


def test_five_cases_all_better_by_0_1_have_p_2_of_32_and_an_interval_of_no_width():
    found = only(table("a", [0.5, 0.6, 0.7, 0.8, 0.85]), table("b", [0.6, 0.7, 0.8, 0.9, 0.95]))
    assert found.mean_difference == pytest.approx(0.1)
    assert found.p == pytest.approx(2 / 32)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.better is True


def test_six_scans_of_two_patients_are_two_and_no_evidence():
    patients = ["x", "x", "x", "y", "y", "y"]
    found = only(table("a", [0.5] * 6, patients), table("b", [0.6] * 6, patients))
    assert (found.patients, found.p) == (2, pytest.approx(0.5))


def test_scipys_permutation_test_gives_the_same_p():
    rng = np.random.default_rng(0)
    a, b = rng.random(9), rng.random(9) + 0.2
    exact = stats.permutation_test((b - a,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert only(table("a", a), table("b", b)).p == pytest.approx(exact.pvalue)


def test_holm_multiplies_the_smallest_of_three_p_by_3_and_never_lets_a_larger_one_fall_below():
    rng = np.random.default_rng(1)
    base = rng.random(10)
    tables = [
        table("a", base),
        table("b", base + 0.1 + 0.01 * rng.random(10)),
        table("c", base + 0.01 * rng.random(10)),
    ]
    found = compare(tables, ["dice"])
    smallest = min(one.p for one in found)
    assert min(one.p_holm for one in found) == pytest.approx(min(1, 3 * smallest))
    ordered = sorted(found, key=lambda one: one.p)
    assert [one.p_holm for one in ordered] == sorted(one.p_holm for one in found)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_turning_a_comparison_around_changes_the_sign_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    a, b = table("a", rng.random(8)), table("b", rng.random(8))
    there, back = only(a, b), only(b, a)
    assert there.mean_difference == pytest.approx(-back.mean_difference)
    assert there.p == pytest.approx(back.p)
    assert there.better is not back.better


def test_the_case_that_got_worse_by_most_comes_first():
    assert [row[0] for row in worst_first(table("a", [0.9, 0.9, 0.5]), table("b", [0.9, 0.2, 0.8]))] == [
        "c1",
        "c0",
        "c2",
    ]


def written(folder, rows):
    folder.mkdir(parents=True)
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["case", "patient", "dice", "hd95_mm", "diagonal_mm", "error"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


def row(case, dice, hd95, **more):
    return {"case": case, "patient": case[0], "dice": dice, "hd95_mm": hd95, "diagonal_mm": 120, **more}


def test_a_missed_case_counts_with_its_diagonal_and_so_makes_the_comparison_worse(tmp_path):
    hit = written(tmp_path / "hit", [row("a", 0.9, 3), row("b", 0.8, 20), row("c", 0.9, 2)])
    miss = written(tmp_path / "miss", [row("a", 0.9, 3), row("b", 0, "inf"), row("c", 0.9, 2)])
    found = {one.metric: one for one in compare([read_table(hit), read_table(miss)], ["dice", "hd95_mm"])}
    assert found["hd95_mm"].mean_difference == pytest.approx((120 - 20) / 3)
    assert (found["hd95_mm"].better, found["dice"].better) == (False, False)


def test_the_command_prints_and_writes_and_leaves_failed_rows_out(tmp_path, capsys):
    first = written(tmp_path / "first", [row("a", 0.5, 9), row("b", 0.6, 8), row("x", "", "", error="broken")])
    second = written(tmp_path / "second", [row("b", 0.7, 6), row("a", 0.8, 5)])
    assert main(["compare", str(first), str(second), "-o", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "second - first" in out
    assert "+0.2000" in out
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [one["metric"] for one in document["differences"]] == ["dice", "hd95_mm"]
    lines = (tmp_path / "out" / "cases.csv").read_text().splitlines()
    assert lines[1].startswith("first,second,b,0.6,0.7")


def test_what_cannot_be_compared_is_refused(tmp_path, capsys):
    one = written(tmp_path / "one", [row("a", 0.5, 9)])
    other = written(tmp_path / "other", [row("z", 0.5, 9)])
    with pytest.raises(InputError, match="have no case in common"):
        compare([read_table(one), read_table(other)])
    with pytest.raises(SettingsError, match="at least two evaluations, got 1"):
        compare([read_table(one)])
    with pytest.raises(SettingsError, match="Two evaluations have one name"):
        compare([read_table(one), read_table(one)])
    with pytest.raises(SettingsError, match="Unknown metrics: volume_ml"):
        compare([read_table(one), read_table(other)], ["volume_ml"])
    assert main(["compare", str(tmp_path), str(one)]) == 2
    assert "There is no metrics.csv in" in capsys.readouterr().err
