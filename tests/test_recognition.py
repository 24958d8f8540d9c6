"""Recognition of scans, and what a user is told of a doubtful one."""

import numpy as np
import pytest

from prostate_seg.assessment.assessor import Assessment, Kinds
from prostate_seg.assessment.doubt import Doubt
from prostate_seg.assessment.recognition import KINDS, Recognition, scan_features
from prostate_seg.errors import InputError, SettingsError
from prostate_seg.geometry.volume import Segmentation


def three_clouds(count=40):
    rng = np.random.default_rng(0)
    centres = np.eye(3, 12) * 4
    features = np.concatenate([centre + rng.normal(0, 0.5, (count, 12)) for centre in centres])
    return features, [kind for kind in KINDS for _ in range(count)]


def test_three_clouds_of_features_are_told_apart_and_probabilities_sum_to_1():
    features, kinds = three_clouds()
    recognition = Recognition.fit(features[::2], kinds[::2])
    found = [recognition(one) for one in features[1::2]]
    assert [max(one, key=one.get) for one in found] == kinds[1::2]
    assert sum(found[0].values()) == pytest.approx(1)


def test_a_scan_that_is_upright_when_turned_is_upside_down():
    features, kinds = three_clouds()
    recognition = Recognition.fit(features, kinds)
    upright, turned, other = features[0], features[40], features[80]
    assert recognition(turned, upright)["upside-down"] > recognition(turned)["upside-down"] > 0.5
    assert recognition(upright, turned)["prostate"] > 0.9
    assert recognition(other, other)["other"] > 0.9


def test_the_size_of_what_is_found_is_part_of_a_scans_features():
    """Two sure voxels, one of 0.5: found 2.5, unsure 1."""
    features = scan_features(np.array([7.0]), np.array([1.0, 1.0, 0.5, 0.0]))
    assert features == pytest.approx([7, np.log(3.5), np.log(2), np.log(2 / 3.5)])


def test_a_kind_with_few_scans_weighs_as_much_as_the_others():
    """Features without any meaning, 100 scans of one kind and 5 of each other: each kind has a third."""
    features = np.zeros((110, 4))
    recognition = Recognition.fit(features, ["prostate"] * 100 + ["upside-down"] * 5 + ["other"] * 5)
    assert list(recognition(np.zeros(4)).values()) == pytest.approx([1 / 3] * 3, abs=1e-3)


def test_recognition_is_the_same_after_it_was_written_and_needs_each_kind(tmp_path):
    features, kinds = three_clouds()
    recognition = Recognition.fit(features, kinds)
    recognition.save(tmp_path / "kinds.npz")
    again = Recognition.load(tmp_path / "kinds.npz")
    assert again(features[0]) == pytest.approx(recognition(features[0]), abs=1e-4)
    with pytest.raises(SettingsError, match=r"there is no \['other', 'upside-down'\]"):
        Recognition.fit(features[:5], kinds[:5])
    (tmp_path / "kinds.npz").write_text("no archive")
    with pytest.raises(InputError, match="holds no recognition of scans"):
        Recognition.load(tmp_path / "kinds.npz")


def a_mask(volume_ml=30.0):
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[:5] = 1  # 500 voxels
    side = (volume_ml * 1000 / 500) ** (1 / 3)
    return Segmentation(labels, np.diag([-side, -side, side, 1.0]))


def assessment(**changes):
    doubt = Doubt(0.2, 0.02, 0.5, 2.5, 0.0, 1.0)
    known = {"doubt": doubt, "passes": 2, "wrong": 0.1, "reason": "", "kinds": None, "volumes_ml": (20.0, 100.0)}
    return Assessment(**(known | changes))


def test_a_sure_mask_of_usual_size_has_no_warning():
    assert assessment().warnings(a_mask()) == []


@pytest.mark.parametrize(
    ("changes", "volume_ml", "told"),
    [
        (
            {"kinds": Kinds({"prostate": 0.1, "upside-down": 0.7, "other": 0.2}, "")},
            30,
            "looks upside down: give --probe-side",
        ),
        (
            {"kinds": Kinds({"prostate": 0.1, "upside-down": 0.2, "other": 0.7}, "")},
            30,
            "does not look like a transrectal scan",
        ),
        ({"wrong": 0.62}, 30, "HD95 is above 5 mm with a probability of 62 %"),
        ({}, 11, "volume of 11 mL is not within the expected 12 to 140 mL"),
        ({}, 150, "volume of 150 mL is not within"),
        ({"doubt": Doubt(0.2, 0.02, 4.5, 2.5, 0.0, 1.0)}, 30, "unusual: 4.5 mm from the nearest plausible one"),
        ({"doubt": Doubt(0.2, 0.02, 0.5, 2.5, 0.2, 1.0)}, 30, "ends the gland in 20 % of the directions"),
        ({"repaired_mm": (0.42, 6.26)}, 30, "moved the contour by up to 6.3 mm (0.4 mm on average)"),
    ],
)
def test_each_reason_for_doubt_is_one_sentence(changes, volume_ml, told):
    (warning,) = assessment(**changes).warnings(a_mask(volume_ml))
    assert told in warning


def test_facts_have_a_value_or_a_reason_and_no_infinity():
    never = assessment(wrong=None, reason="one slice", doubt=Doubt(np.inf, np.inf, np.inf, np.inf, 0.0, np.inf))
    facts = never.facts(a_mask())
    assert facts["probability_hd95_above_5_mm"] == {"value": None, "reason": "one slice"}
    assert facts["spread_mm"] is None
    slice_ = Segmentation(a_mask().labels[:, :, :1], a_mask().affine)
    odd = assessment(doubt=Doubt(0.2, 0.02, 4.5, 2.5, 0.9, 1.0))
    assert [odd.facts(slice_)[name] for name in ("residual_mm", "cut", "shape_sd", "spread_mm")] == [
        *[None] * 3,
        0.2,
    ]
    assert odd.warnings(slice_) == []  # a gland's shape cannot be told from one slice
    assert assessment().facts(a_mask())["probability_hd95_above_5_mm"] == {"value": 0.1}
    moved = assessment(repaired_mm=(0.41, 2.9))
    assert moved.facts(a_mask())["repaired_mm"] == {"mean": 0.41, "largest": 2.9}
    assert moved.warnings(a_mask()) == []  # less than 3 mm anywhere
