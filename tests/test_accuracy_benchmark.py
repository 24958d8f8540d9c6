"""The accuracy benchmark: what a budget is, which cases a learning curve uses, losses and families by hand."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, phantom_of

from benchmarks.accuracy.data import Case, Preparation, cases_of, some
from benchmarks.accuracy.fit import Budget, _deep
from benchmarks.accuracy.losses import DistanceLoss, hidden_blocks
from benchmarks.accuracy.networks import CONTENDERS
from benchmarks.accuracy.study import Split, mean_shape, run_fold
from prostate_seg import Segmentation, write
from prostate_seg.phantom import draw_settings
from prostate_seg.reading.masks import read_mask


def cases(count):
    return [Case(f"case{n}", f"patient{n // 2}", n % 5, Path(), Path()) for n in range(count)]


def test_half_of_the_seconds_or_half_of_the_steps_is_half_of_a_budget():
    assert Budget(120.0).share(60.0, 999) == 0.5
    assert Budget(120.0, 400).share(999.0, 200) == 0.5


def test_fewer_cases_are_part_of_more_and_two_of_one_patient_come_together():
    five, ten, all_of_them = (some(cases(20), count, seed=1) for count in (5, 10, None))
    assert [len(five), len(ten), len(all_of_them)] == [5, 10, 20]
    assert five == ten[:5]
    assert five[0].patient == five[1].patient
    assert five != some(cases(20), 5, seed=2)


def test_unseen_patients_are_fold_0(tmp_path):
    (tmp_path / "cases.csv").write_text("case,patient,fold,patient_in_trus27\na,A,3,yes\nb,B,4,no\n")
    assert [(case.name, case.fold) for case in cases_of(tmp_path)] == [("a", 3), ("b", 4)]
    assert [(case.name, case.fold) for case in cases_of(tmp_path, unseen=True)] == [("a", 1), ("b", 0)]


def test_a_case_becomes_a_window_of_the_asked_size_the_same_for_the_same_draw():
    preparation = Preparation((48, 32, 16))
    phantom = preparation.prepare({"phantom": 1000001})
    (image, label), (again, _) = (preparation.batch([phantom], (0, 1)) for _ in range(2))
    assert image.shape == label.shape == (1, 1, 48, 32, 16)
    assert set(label.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(image, again)


def test_a_run_with_other_options_in_the_same_folder_stops(tmp_path):
    options = Namespace(weights={}, minutes=2.0, steps=None, seed=0)
    split = Split.of(0, cases(10), None, 0)
    (tmp_path / "plan.json").write_text(json.dumps({"minutes": 8.0}))
    with pytest.raises(SystemExit, match="holds a run with other options"):
        run_fold(options, CONTENDERS["segmenter"], tmp_path, split)


def test_the_mean_shape_is_where_two_of_three_training_masks_are(tmp_path):
    made = []
    for number, size in enumerate((2, 3, 4, 4)):
        labels = np.zeros((6, 6, 6), np.uint8)
        labels[:size] = 1
        path = tmp_path / f"case{number}.nii.gz"
        write(Segmentation(labels, np.eye(4)), path)
        made.append(Case(f"case{number}", f"patient{number}", int(number < 3), path, path))
    assert mean_shape([Split.of(0, made, None, 0)], tmp_path / "mean")
    (mask,) = (tmp_path / "mean").glob("fold0/masks/*")
    assert read_mask(mask).labels.sum() == 3 * 36
    write(Segmentation(np.ones((2, 2, 2), np.uint8), np.eye(4)), made[0].label)
    assert not mean_shape([Split.of(0, made, None, 0)], tmp_path / "other")


def test_three_supervised_outputs_weigh_4_2_and_1_sevenths():
    def loss_of(output, labels):
        return output.mean()

    outputs = torch.stack([torch.full((1, 2, 4, 4, 4), value) for value in (7.0, 14.0, 21.0)], dim=1)
    labels = torch.zeros(1, 1, 4, 4, 4)
    assert float(_deep(loss_of, outputs, labels)) == pytest.approx((4 * 7 + 2 * 14 + 21) / 7)
    assert float(_deep(loss_of, outputs[:, 1], labels)) == 14.0


def test_a_voxel_16_mm_outside_costs_more_than_one_beside_the_boundary():
    labels = torch.zeros(1, 1, 32, 8, 8)
    labels[:, :, :8] = 1
    right = torch.stack([-10 * (2 * labels[:, 0] - 1), 10 * (2 * labels[:, 0] - 1)], dim=1)

    def wrong_at(i):
        logits = right.clone()
        logits[:, :, i] *= -1
        return float(DistanceLoss()(logits, labels))

    plane = 0.5 / 32  # weight over the number of planes; 1.6 mm is 0.16 cm
    assert wrong_at(18) - wrong_at(8) == pytest.approx(plane * (1.76 - 0.16), abs=0.002)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "as trained"])
def test_a_family_changes_the_picture_and_the_seed_decides_it(family):
    drawn, changed = draw_settings(3), phantom_of(family, 3)
    assert changed.settings != drawn
    assert changed.image.array.tobytes() == phantom_of(family, 3).image.array.tobytes()
    assert np.count_nonzero(changed.structures["ctv"]) > 0


def test_as_trained_is_what_the_seed_draws():
    assert FAMILIES["as trained"](draw_settings(3), np.random.default_rng(0)) == draw_settings(3)


def test_hidden_blocks_are_whole_and_about_half_of_the_image():
    hidden = hidden_blocks((8, 1, 72, 48, 32), torch.Generator().manual_seed(0))
    assert hidden.shape == (8, 1, 72, 48, 32)
    assert 0.4 < hidden.float().mean() < 0.6
    block = hidden[0, 0, :16, :16, :8]
    assert bool(block.all()) or not bool(block.any())
