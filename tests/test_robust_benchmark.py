"""The benchmark of robustness: who may test whom, and numbers that one can check by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.robust.figures import calibration_svg
from benchmarks.robust.members import without
from benchmarks.robust.passes import members_of_fold
from benchmarks.robust.table import Arm, arm_lines, auroc, bootstrap, confident_line, score_lines
from prostate_seg.metrics import evaluate_masks
from prostate_seg.phantom import make_phantom, without_prostate


def test_members_of_a_fold_are_those_that_were_trained_without_it(tmp_path):
    for name in ("fold0", "fold1", "without-0-1", "without-0-2", "without-1-2"):
        (tmp_path / "net" / name).mkdir(parents=True)
    assert [run.name for run in members_of_fold(tmp_path, "net", 0)] == ["fold0", "without-0-1", "without-0-2"]


def test_a_member_is_trained_on_the_other_folds_and_tested_on_its_pair():
    cases = [SimpleNamespace(name=str(fold), fold=fold) for fold in range(5)]
    split = without(cases, (1, 3))
    assert [case.fold for case in split.training] == [0, 2, 4]
    assert [case.fold for case in split.testing] == [1, 3]


def test_auroc_counts_the_pairs_in_the_right_order():
    """Wrong cases have 0.9 and 0.4, right ones 0.5 and 0.1: three pairs of four are in order."""
    score, wrong = np.array([0.9, 0.4, 0.5, 0.1]), np.array([True, True, False, False])
    assert auroc(score, wrong) == 0.75
    assert auroc(-score, wrong) == 0.25
    assert np.isnan(auroc(score, np.ones(4, bool)))


def test_within_folds_only_pairs_of_one_fold_count():
    """Each fold puts its wrong case above its right one; the second fold's scores are lower by 0.5 throughout."""
    score, wrong = np.array([0.9, 0.6, 0.4, 0.1]), np.array([True, False, True, False])
    assert auroc(score, wrong) == 0.75
    assert auroc(score, wrong, np.array([0, 0, 1, 1])) == 1.0
    assert np.isnan(auroc(score, wrong, np.arange(4)))


def test_the_interval_of_equal_cases_is_a_point():
    assert bootstrap(lambda n: float(np.ones(6)[n].mean()), list("aabbcc")) == (1, 1)


def shifted_arm(name, shifts, chances):
    truth = np.zeros((40, 12, 12), bool)
    truth[5:15, 2:10, 2:10] = True
    rows = [evaluate_masks(np.roll(truth, shift, axis=0), truth, (1, 1, 1)) for shift in shifts]
    return Arm(name, rows, [None] * len(shifts), np.array(chances))


def test_the_tables_say_how_far_the_tail_reaches_and_where_the_worst_case_is():
    """Ten boxes shifted by 1 mm, one of them by 10 in the first arm: HD95 over 5 mm once, the highest chance."""
    first = shifted_arm("one", [1] * 9 + [10], [0.1] * 9 + [0.8])
    second = shifted_arm("two", [1] * 10, [0.1] * 10)
    patients, diagonals = [str(n) for n in range(10)], [45.0] * 10
    head, _, plain, better = arm_lines([first, second], patients, diagonals)
    assert "1 of 10 | 0 of 10" in plain
    assert plain.split(" | ")[6] == "10.0"  # the largest HD
    assert "0 of 10 | 0 of 10" in better
    assert head.count("|") == plain.count("|")
    assert "of 9 cases with a chance below 0.3 the worst changes its Dice by +0.000" in confident_line(
        first, second
    )
    row = score_lines([first], patients)[-1]
    assert "1 of 10 | 1.00" in row
    first = replace(first, fixed=np.array([0.5, 0.2] + [np.nan] * 7 + [0.4]))
    assert "| 0.50 (" in score_lines([first], patients)[-1]
    assert ", 1 wrong of 3 |" in score_lines([first], patients)[-1]
    assert row.endswith("1 of 1 |")


def test_the_calibration_plot_has_five_points_and_asks_for_nothing():
    svg = calibration_svg(np.linspace(0, 1, 50), np.arange(50) > 25)
    assert svg.count("<circle") == 5
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_a_phantom_without_prostate_has_none_and_the_same_fan():
    phantom, none = make_phantom(3), make_phantom(3, settings=without_prostate(3))
    assert none.structures["ctv"].sum() < 0.001 * phantom.structures["ctv"].sum()
    assert none.image.array.shape == phantom.image.array.shape
    assert np.isfinite(none.image.array).all()
    assert none.image.spacing_mm == pytest.approx(phantom.image.spacing_mm)
