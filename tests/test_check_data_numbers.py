"""The numbers behind ``check-data``, each small enough to check by hand; and real scans that occur twice."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from prostate_seg.cli import main
from prostate_seg.training.check import check_data
from prostate_seg.training.check.appearance import SIZE, Picture, edges, likeness, upright
from prostate_seg.training.check.copies import pairs_alike
from prostate_seg.training.check.facts import CaseFacts, Entry
from prostate_seg.training.check.geometry_checks import spacing
from prostate_seg.training.check.label_checks import volume
from prostate_seg.training.check.masks import MaskFacts, Part, mask_facts
from prostate_seg.training.datalist import load_each

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])  # voxels of 2 mm3: 500 of them are 1 mL
DATA = os.environ.get("PROSTATE_SEG_DATA")


def case(number, mm=(1.0, 1.0, 2.0), ml=40.0):
    entry = Entry(f"c{number}", "training", {})
    return CaseFacts(entry, shape=(20, 20, 10), spacing_mm=mm, masks={"CTV": MaskFacts(ml)})


def picture(values, seen=None):
    return Picture(values.astype(np.float16).ravel(), np.ones(values.size, bool) if seen is None else seen.ravel())


def test_pieces_holes_gaps_and_parts_beyond_are_counted_in_ml():
    mask = np.zeros((20, 20, 10), bool)
    mask[5:15, 5:15, 1:8] = True  # 700 voxels
    mask[9:11, 9:11, 3] = False  # a hole of 4 voxels
    mask[:, :, 5] = False  # a gap: 200 voxels of a second piece beyond it
    parent = np.zeros_like(mask)
    parent[:, :10] = True
    seen = np.ones_like(mask)
    seen[14] = False
    found = mask_facts(mask, AFFINE, seen, parent)
    assert found.ml == pytest.approx((600 - 4) * 0.002)
    assert (found.pieces, found.islands) == (2, Part(pytest.approx(0.4), 6))
    assert found.holes == Part(pytest.approx(0.008), 3)
    assert found.gaps == (5,)
    assert found.unseen == Part(pytest.approx(60 * 0.002), 1)
    assert found.beyond == Part(pytest.approx((300 - 2) * 0.002), 1)
    assert found.ends == ()
    assert mask_facts(np.ones((3, 3, 2), bool), AFFINE, np.ones((3, 3, 2), bool), None).ends[-1] == "last slice"


def test_a_spacing_is_odd_if_it_is_3_times_that_of_every_other_case():
    usual = [case(number) for number in range(5)]
    assert list(spacing([*usual, case(5, (2.9, 2.9, 2.0))])) == []
    (found,) = spacing([*usual, case(5, (3.1, 3.1, 2.0))])
    assert found.cases == ("c5",)
    assert (
        "factor of 3 or more from every other case (median 1 mm in the slice, 2 mm between slices)"
        in found.sentence
    )
    assert list(spacing([*usual, case(5, (3.1, 3.1, 2)), case(6, (3.2, 3.2, 2))])) == []  # a second scanner
    (found,) = spacing([case(0, (1.0, 1.0, 10.1))])
    assert found.severity == "error"


def test_a_volume_is_odd_beyond_8_to_250_ml_and_beyond_3_times_the_median_of_8_cases():
    usual = [case(number, ml=40.0) for number in range(8)]
    assert list(volume([*usual, case(8, ml=119.0)])) == []
    assert [one.cases for one in volume([*usual, case(8, ml=121.0)])] == [("c8",)]
    assert [one.cases for one in volume([case(0, ml=7.9), case(1, ml=8.1), case(2, ml=251.0)])] == [
        ("c0",),
        ("c2",),
    ]


def test_pictures_are_compared_where_both_show_ultrasound_as_numpy_correlates_them():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=SIZE), rng.normal(size=SIZE)
    both = first + 0.5 * second
    seen = np.ones(SIZE, bool)
    seen[:8] = False
    masked = picture(np.where(seen, both, 0), seen)
    ((a, b, value),) = pairs_alike([picture(first), masked, picture(second)], 0.6)
    assert (a, b) == (0, 1)
    assert value == pytest.approx(np.corrcoef(first[8:].ravel(), both[8:].ravel())[0, 1], abs=2e-3)
    ((a, b, value),) = pairs_alike([picture(first), picture(first[::-1])], 0.6, flipped=0)
    assert (a, b, round(value, 3)) == (0, 1, 1.0)


def test_six_hundred_pictures_in_blocks_give_the_pairs_that_are_equal():
    rng = np.random.default_rng(1)
    pictures = [picture(rng.normal(size=SIZE)) for _ in range(600)]
    pictures[599], pictures[300] = pictures[2], pictures[299]
    assert sorted(pair[:2] for pair in pairs_alike(pictures, 0.9)) == [(2, 599), (299, 300)]


def test_edges_of_a_bright_ball_agree_with_those_of_other_balls_and_not_with_a_shifted_contour():
    at = np.indices((60, 60, 40)) * np.reshape((1, 1, 2), (3, 1, 1, 1))

    def pattern(radius, shift=0):
        distance = np.linalg.norm(at - np.reshape((30, 30, 40), (3, 1, 1, 1)), axis=0)
        mask = np.roll(distance < radius, shift, axis=0)
        return edges(upright(AFFINE, np.where(distance < radius, 60.0, 120.0), np.ones(mask.shape, bool), mask))

    balls = [pattern(radius) for radius in (14, 16, 18, 20)]
    assert balls[0].shape == (161 * 21,)
    assert likeness(balls).min() > 0.95
    assert likeness([*balls[:3], pattern(20, shift=8)])[3] < 0.6


def test_an_invalid_entry_leaves_the_others_readable_and_keeps_its_place(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        (tmp_path / name).touch()
    good = {"image": "a.nii.gz", "label": "b.nii.gz"}
    content = {"training": [5, good], "testing": [good | {"label": "../b.nii.gz"}, good | {"weight": 1}]}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    found = load_each(tmp_path / "datalist.json")
    assert [(one.section, one.number, one.case is None) for one in found] == [
        ("training", 0, True),
        ("training", 1, False),
        ("testing", 0, True),
        ("testing", 1, True),
    ]
    assert "has 5, expected image and label" in found[0].why


def of(folder, name, patient):
    files = {"image": f"{folder}/images/{name}.nii.gz", "label": f"{folder}/labels/{name}.nii.gz"}
    return {"case": f"{folder.name}-{name}", "patient": patient, **files}


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="PROSTATE_SEG_DATA is not set")
def test_all_27_scans_that_occur_in_two_sets_are_found_and_no_two_patients_are_taken_for_one(tmp_path):
    small, large = (Path(DATA) / name for name in ("trus27", "trus72"))
    with (large / "cases.csv").open() as table:
        patients = {row["case"]: row["patient"] for row in csv.DictReader(table)}
    same = {f"trus27-case{n:02d}": f"case{4 * n:03d}" for n in range(27)}
    content = {
        "training": [of(small, name.split("-")[1], f"A-{name}") for name in same],
        "validation": [of(large, name, patient) for name, patient in patients.items()],
    }
    (tmp_path / "list.json").write_text(json.dumps(content))
    found = [set(one.cases) for one in check_data(tmp_path / "list.json").findings if one.kind == "near_copy"]
    assert sum(any({name, f"trus72-{other}"} <= group for group in found) for name, other in same.items()) == 27
    true = {name: patients[other] for name, other in same.items()}
    true |= {f"trus72-{name}": patient for name, patient in patients.items()}
    assert [group for group in found if len({true[name] for name in group}) > 1] == []


@pytest.mark.realdata
@pytest.mark.skipif(not DATA, reason="PROSTATE_SEG_DATA is not set")
def test_of_27_real_scans_five_glands_that_the_image_cuts_are_all_that_is_found(tmp_path, capsys):
    small = Path(DATA) / "trus27"
    cases = [of(small, f"case{n:02d}", f"A{n}") for n in range(27)]
    (tmp_path / "list.json").write_text(json.dumps({"training": cases}))
    assert main(["check-data", str(tmp_path / "list.json"), "--json"]) == 1
    kinds = [one["kind"] for one in json.loads(capsys.readouterr().out)["findings"]]
    assert sorted(kinds) == ["cut"] * 5 + ["outside_folder"]
