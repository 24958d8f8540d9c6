"""The benchmark of robustness: who may test whom, and numbers that one can check by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.accuracy.networks import segmenter
from benchmarks.robust import families, told
from benchmarks.robust.__main__ import Seen, fixed
from benchmarks.robust.cheap import drop_blocks
from benchmarks.robust.ends import Ends, lines_of, patient_lines
from benchmarks.robust.figures import calibration_svg
from benchmarks.robust.members import without
from benchmarks.robust.passes import Passes, members_of_fold
from benchmarks.robust.table import Arm, arm_lines, auroc, bootstrap, confident_line, score_lines
from prostate_seg.assessment.doubt import Doubt, Score
from prostate_seg.assessment.rays import cast_rays, last_crossings_mm, rays_of, sphere
from prostate_seg.evaluation.metrics import evaluate_masks
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
    second = shifted_arm("two", [1] * 10, [0.1] * 9 + [0.8])
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


def ball(radius_mm, cut_mm=None):
    """A ball on a grid of 1 mm around (24, 24, 24); cut_mm: where it ends below its centre."""
    offsets = np.indices((49, 49, 49)) - 24.0
    field = (np.linalg.norm(offsets, axis=0) <= radius_mm).astype(np.float32)
    if cut_mm is not None:
        field[:, :, : 24 - cut_mm] = 0
    return field


def test_a_mask_that_passes_its_reference_at_the_apex_is_told_so_in_mm():
    """A ball of 16 mm against one whose last voxel, 1 mm thick, is 8 mm below its centre: 16 - 8.5 mm beyond it."""
    rays = cast_rays(ball(16), (1.0, 1.0, 1.0))
    reference = last_crossings_mm(rays_of(ball(16, cut_mm=8), (1.0, 1.0, 1.0), rays.centre_mm))
    found = Ends(rays, reference, evaluate_masks(ball(16) > 0, ball(16, cut_mm=8) > 0, (1, 1, 1)))
    superior = sphere()[:, 2]
    assert found.beyond_mm(-superior) == pytest.approx(7.5, abs=0.5)
    assert found.beyond_mm(superior) == pytest.approx(0, abs=0.1)
    assert found.far()[superior < -0.9].all()  # 16 mm against 8.5 to 9.4
    assert not found.far()[superior > 0].any()
    first, ends_at, *_ = lines_of([found, found], "Ball")
    assert first.startswith("Ball: beyond the apex +7.")
    assert "2 wrong cases" in ends_at


def test_scans_of_one_patient_that_are_equally_wrong_correlate():
    """A's two scans are equally bad, B's equally good: two ends of a line. C has one scan only, the worst."""
    metrics = [SimpleNamespace(hd_mm=2 * mm, hd95_mm=mm) for mm in (9.0, 9.0, 3.0, 3.0, 50.0)]
    largest, pairs = patient_lines(metrics, ["A", "A", "B", "B", "C"])
    assert largest == "The largest HD: 100.0, 18.0, 18.0, 6.0, 6.0 mm, of 3 patients."
    assert pairs == "Two scans of one patient (2 pairs, 2 patients): correlation of their HD95 1.00."
    opposite = [metrics[n] for n in (0, 2, 3, 1)]
    assert patient_lines(opposite, ["A", "A", "B", "B"])[1].endswith("HD95 -1.00.")


def test_where_no_mask_is_wrong_only_the_mean_chance_is_told():
    """Two boxes moved by 1 mm with chances of 0.1 and 0.3; a third, moved by 10 mm, has 0.8 and comes first."""
    arm = shifted_arm("boxes", [1, 1, 10], [0.1, 0.3, 0.8])
    results = [(row, None, chance) for row, chance in zip(arm.rows, arm.chances, strict=True)]
    assert told.lines_of("boxes", results[:2], ["a", "b"]) == ["boxes:", "", "Mean chance 0.20, wrong 0.00."]
    *_, row, _, mean = told.lines_of("boxes", results, ["a", "b", "c"])
    assert "| 1 of 3 | 1.00 (" in row
    assert mean == "Mean chance 0.40, wrong 0.33."


def test_a_score_fitted_elsewhere_is_used_with_the_released_shape_model_as_it_is():
    """Equal passes spread by 0 mm; a weight of 1 makes 1 / (1 + 1 / 0.01) of the logarithm of 0.01."""
    field = ball(16)
    one = Seen(
        None, [Passes(np.stack([field] * 2), np.eye(4), np.ones(field.shape, bool))], None, field > 0, np.eye(4)
    )
    arm = fixed([one], Score(("spread_mm",), (0.0,), (1.0,), (1.0, 0.0), 1, "elsewhere"))
    assert arm.rows[0].dice > 0.95
    assert arm.chances == pytest.approx([0.01 / 1.01], rel=1e-3)


def test_left_out_branches_change_a_pass_until_they_are_put_back():
    torch.manual_seed(0)
    network = segmenter().eval()
    image = torch.rand(1, 1, 72, 48, 32)
    with torch.inference_mode():
        before = network(image)
        drop_blocks(network, 0.9)
        assert not torch.equal(network(image), before)
        drop_blocks(network, 0.0)
        assert torch.equal(network(image), before)


def test_one_pass_is_the_first_without_its_mirror_image():
    passes = Passes(
        np.stack([np.zeros((2, 2, 2)), np.ones((2, 2, 2))]), np.diag([2.0, 3, 4, 1]), np.ones((2, 2, 2))
    )
    assert passes.first().passes.tolist() == np.zeros((1, 2, 2, 2)).tolist()
    assert passes.first().spacing_mm == [2, 3, 4]


def test_the_first_way_is_what_the_others_are_held_against_and_unknown_chances_are_left_out():
    """Two cases, one moved by 10 mm in one pass only: its p95 is 95 % of the way from 1 to 10 mm, 90 % more."""
    truth = np.zeros((40, 12, 12), bool)
    truth[5:15, 2:10, 2:10] = True
    near, far = (evaluate_masks(np.roll(truth, shift, axis=0), truth, (1, 1, 1)) for shift in (1, 10))
    doubt = Doubt(1.0, 0.1, 1.0, 3.0, 0.0, 1.0)
    results = {
        "one pass": [(far, doubt, float("nan")), (near, doubt, float("nan"))],
        "one model": [(near, doubt, 0.2), (near, doubt, 0.1)],
    }
    results |= {f"{name}, shape": rows for name, rows in results.items()}
    lines = families.lines_of(dict.fromkeys(results), results, ["a", "b"], [45.0, 45.0])
    assert lines[2].startswith("| one pass |")
    assert "-90 % (" in next(line for line in lines if line.startswith("| one model |"))
    scored = [line.split(" | ")[0] for line in lines if " of 2 | " in line and "AUROC" not in line][4:]
    assert scored == ["| one model", "| one model, shape"]
