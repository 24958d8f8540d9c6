"""Extents in the patient, on grids that lie along its axes and on oblique ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from prostate_seg.cases.folder import mask_facts
from prostate_seg.evaluation.metrics import evaluate_masks
from prostate_seg.geometry.volume import Segmentation, Volume

NAMES = ("left_right", "anterior_posterior", "superior_inferior")


def box(rotation):
    """A box of 30 x 10 x 10 voxels on a grid turned by a rotation."""
    labels = np.zeros((50, 30, 30), np.uint8)
    labels[10:40, 10:20, 10:20] = 1
    affine = np.eye(4)
    affine[:3, :3] = rotation
    return Segmentation(labels, affine)


def told(mask):
    image = Volume(mask.labels, mask.affine)
    return mask_facts(image, mask)["extent_mm"]["patient"]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_house_4_along_the_patient_s_axes_a_box_of_30_x_10_x_10_mm_is_30_mm_along_its_own_axis(order):
    rotation = np.eye(3)[:, list(order)]
    expected = dict.fromkeys(NAMES, 10.0) | {NAMES[order[0]]: 30.0}
    assert told(box(rotation)) == expected


def test_house_4_a_box_turned_by_30_degrees_is_30_cos_30_and_10_sin_30_long_as_evaluation_says():
    mask = box(Rotation.from_euler("z", 30, degrees=True).as_matrix())
    found = told(mask)
    expected = {"left_right": 30 * np.cos(np.pi / 6) + 5, "anterior_posterior": 15 + 10 * np.cos(np.pi / 6)}
    assert found == pytest.approx(expected | {"superior_inferior": 10.0}, abs=0.01)
    metrics = evaluate_masks(mask.labels == 1, mask.labels == 1, affine=mask.affine)
    assert found == pytest.approx({name: getattr(metrics, f"{name}_mm") for name in NAMES}, abs=0.005)


def test_house_4_a_doubly_oblique_box_is_at_least_30_over_the_root_of_3_long_along_some_axis():
    turns = Rotation.random(50, random_state=0).as_matrix()
    assert min(max(told(box(turn)).values()) for turn in turns) > 30 / np.sqrt(3)


def test_house_4_a_single_slice_has_two_extents_and_none_across_it():
    labels = np.zeros((50, 30, 1), np.uint8)
    labels[10:40, 10:20] = 1
    assert told(Segmentation(labels, np.diag([1.0, 1.0, 5.0, 1.0]))) == {
        "left_right": 30.0, "anterior_posterior": 10.0, "superior_inferior": None
    }  # fmt: skip
