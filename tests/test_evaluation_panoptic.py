"""Panoptic quality of regions and instances over cases, from maps, from ends, and by distance."""

import csv
import json
import re

import nibabel
import numpy as np
import pytest
import torch
from torchmetrics.detection import PanopticQuality

from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.evaluation import PanopticRow, evaluate_structures, panoptic_rows
from prostate_seg.evaluation.metrics.panoptic import Panoptic, instance_counts, panoptic_counts
from prostate_seg.geometry.things import Thing
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.panoptic import write_panoptic
from prostate_seg.writing.things import write_things

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
GLAND = np.zeros((20, 20, 8), bool)
GLAND[2:18, 2:18] = True


def needle(x, last=7):
    """One voxel in each slice from the first to the last, in column x of row 5."""
    return Thing("Needle", (x, 5.0, 0.0), (x, 5.0, 2.0 * last), 0.4)


def seed(x, **options):
    return Thing("Seed", (x, 12.0, 4.0), (x, 12.0, 8.0), 0.4, **options)


def panoptic(folder, *things, affine=AFFINE, gland=GLAND):
    """A case's folder with a panoptic map of a CTV and things."""
    place = folder / "panoptic"
    place.mkdir(parents=True)
    ctv = Segmentation(gland.astype(np.uint8), affine, things=things)
    write_panoptic(place, ContouredVolume(Volume(np.ones(gland.shape, np.uint8), affine), ctv, Author("m", "1")))
    return place


def without_ends(place):
    """Take the ends of the things out of a segments.json, as in a file of another program."""
    file = place / "segments.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "things"}))


TRUTH = {"a": (needle(4.0), needle(7.0), needle(10.0)), "b": (needle(4.0), seed(6.0))}
FOUND = {"a": (needle(4.0), needle(7.0, last=4), needle(14.0)), "b": (needle(4.0), seed(8.0, oriented=False))}


@pytest.fixture
def cases(tmp_path):
    """Two cases. a: a needle found, one too short, one missed, one invented. b: a seed 2 mm off."""
    for name, drawn in (("truth", TRUTH), ("found", FOUND)):
        for case, things in drawn.items():
            panoptic(tmp_path / name / case, *things)
    return tmp_path


def rows_of(folder):
    return {
        (row.structure, row.match): row
        for row in panoptic_rows(evaluate_structures(folder / "found", folder / "truth"))
    }


def test_counts_are_summed_over_cases_and_qualities_averaged_over_structures(cases):
    rows = rows_of(cases)
    by_voxels = rows["Needle", "IoU 0.5"]  # IoU 1, 1 and 5/8
    assert (by_voxels.matched, by_voxels.missed, by_voxels.invented) == (3, 1, 1)
    assert by_voxels.segmentation_quality == pytest.approx((1 + 1 + 5 / 8) / 3)
    assert by_voxels.recognition_quality == pytest.approx(3 / 4)
    assert rows["Seed", "IoU 0.5"].panoptic_quality == 0.0
    assert rows["over things", "IoU 0.5"].panoptic_quality == pytest.approx((2.625 / 4 + 0) / 2)
    assert rows["over all structures", "IoU 0.5"].panoptic_quality == pytest.approx((1 + 2.625 / 4 + 0) / 3)
    assert rows["over all structures", "IoU 0.5"].segmentation_quality == pytest.approx((1 + 2.625 / 3 + 0) / 3)


def test_needles_match_by_their_tips_and_an_unknown_direction_gives_no_angle(cases):
    rows = rows_of(cases)
    assert [rows["Needle", f"{mm} mm"].matched for mm in (1, 2, 3)] == [2, 2, 2]  # the short one ends 6 mm early
    near = rows["Seed", "2 mm"]
    assert near == PanopticRow("Seed", "thing", "2 mm", 1, 0, 0, recognition_quality=1.0, median_error_mm=2.0)
    assert (rows["Seed", "1 mm"].missed, rows["Seed", "1 mm"].invented) == (1, 1)
    assert rows["Needle", "1 mm"].median_angle_deg == 0.0


def test_maps_without_ends_are_compared_by_their_voxels_and_give_the_same_counts(cases):
    expected = {place: row for place, row in rows_of(cases).items() if place[1] == "IoU 0.5"}
    for place in sorted(cases.glob("*/*/panoptic")):
        without_ends(place)
    found = evaluate_structures(cases / "found", cases / "truth")
    assert {(row.structure, row.match): row for row in panoptic_rows(found)} == expected
    assert "segments.json of a, b lists no ends of its instances, so no distance is measured." in found.notes


def test_voxels_on_another_grid_are_one_sentence_and_the_other_case_is_scored(cases):
    for place in (cases / "found/a/panoptic", cases / "truth/a/panoptic"):
        without_ends(place)
    moved = np.diag([1.0, 1.0, 2.5, 1.0])
    (cases / "found/a").rename(cases / "old")
    without_ends(panoptic(cases / "found/a", needle(4.0), affine=moved))
    found = evaluate_structures(cases / "found", cases / "truth")
    (error,) = found.things.errors
    assert error.startswith("a: The grids differ: prediction 20 x 20 x 8 voxels of 1 x 1 x 2.5 mm")
    assert error.count(".") > 1
    assert "The grids differ" in found.results["CTV"][0].error
    assert found.things.panoptic["Needle"].matched == 1


def test_ends_need_no_common_grid(cases):
    (cases / "found/a").rename(cases / "old")
    gland = np.repeat(GLAND, 2, axis=0)
    panoptic(cases / "found/a", *FOUND["a"], affine=np.diag([0.5, 1.0, 2.0, 1.0]), gland=gland)
    found = evaluate_structures(cases / "found", cases / "truth")
    assert "The grids differ" in found.results["CTV"][0].error
    assert found.things.panoptic["Needle"] == Panoptic(3, 2.625, 1, 1)


def test_a_structure_that_no_reference_has_is_told_and_not_scored(cases):
    (cases / "truth/b").rename(cases / "old")
    panoptic(cases / "truth/b", needle(4.0))
    found = evaluate_structures(cases / "found", cases / "truth")
    assert "No reference has a Seed: 1 of b are not scored, as their truth is unknown." in found.notes
    assert list(found.things.panoptic) == ["Needle"]


def test_a_case_without_a_prediction_is_missed_unless_the_cohort_is_partial(cases):
    (cases / "found/b").rename(cases / "old")
    pair = cases / "found", cases / "truth"
    assert evaluate_structures(*pair).things.panoptic["Seed"].unmatched_references == 1
    assert "Seed" not in evaluate_structures(*pair, partial=True).things.panoptic
    panoptic(cases / "found/c", needle(4.0))
    assert "The things of c have no reference and are not scored." in evaluate_structures(*pair).notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iscrowd": 1}, r"segment \d is a crowd of instances, which cannot be counted"),
        ({"instance": 5}, r"the instance of segment \d has no name"),
        ({"category_id": 99}, r"a segment is of the categories \[99\], which are not listed"),
    ],
)
def test_instances_that_cannot_be_counted_fail_their_case(cases, change, message, capsys):
    place = cases / "truth/a/panoptic"
    without_ends(place)
    document = json.loads((place / "segments.json").read_text())
    document["annotations"][0]["segments_info"][-1] |= change
    (place / "segments.json").write_text(json.dumps(document))
    (error,) = evaluate_structures(cases / "found", cases / "truth", ["needle"]).things.errors
    assert re.search(message, error)
    assert main(["evaluate", str(cases / "found"), str(cases / "truth"), "--structures", "needle"]) == 1
    assert "failed: a: segments.json beside panoptic.nii.gz does not describe it" in capsys.readouterr().err


def test_one_table_is_printed_and_written_to_csv_json_and_page(cases, capsys):
    pair = [str(cases / "found"), str(cases / "truth")]
    assert main(["evaluate", *pair, "--structures", "all", "-o", str(cases / "out")]) == 0
    printed = capsys.readouterr().out
    with (cases / "out/panoptic.csv").open() as stream:
        table = list(csv.DictReader(stream))
    rows = json.loads((cases / "out/structures.json").read_text())["panoptic"]
    assert [row["structure"] for row in table] == [row["structure"] for row in rows]
    assert len(rows) == 1 + 4 + 4 + 3
    assert float(table[1]["panoptic_quality"]) == rows[1]["panoptic_quality"] == pytest.approx(0.65625)
    page = (cases / "out/report.html").read_text()
    for row in rows:
        assert f"<td>{row['structure']}</td><td>{row['kind']}</td><td>{row['match']}</td>" in page
    assert "Needle                   IoU 0.5       3       1        1  0.656  0.875  0.750" in printed


def test_a_map_of_instances_alone_is_no_mask_and_its_instances_count(cases):
    for place in (cases / "found/b/panoptic", cases / "truth/b/panoptic"):
        without_ends(place)
        document = json.loads((place / "segments.json").read_text())
        document["categories"] = document["categories"][1:]
        segments = document["annotations"][0]["segments_info"]
        document["annotations"][0]["segments_info"] = [one | {"also": []} for one in segments if "instance" in one]
        (place / "segments.json").write_text(json.dumps(document))
        image = nibabel.load(place / "panoptic.nii.gz")
        labels = np.where(np.asarray(image.dataobj) == segments[0]["id"], 0, np.asarray(image.dataobj))
        nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint16), image.affine), place / "panoptic.nii.gz")
    with pytest.raises(InputError, match=r"panoptic\.nii\.gz holds instances alone, expected a region"):
        read_mask(cases / "truth/b/panoptic/panoptic.nii.gz")
    assert evaluate_structures(cases / "found", cases / "truth").things.panoptic["Seed"].matched == 0


def test_a_damaged_map_beside_a_sound_ctv_fails_its_case(cases, capsys):
    for name in ("found", "truth"):
        write(Segmentation(GLAND.astype(np.uint8), AFFINE), cases / name / "a" / "ctv.nii.gz")
    damaged = cases / "truth/a/panoptic/panoptic.nii.gz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert main(["evaluate", str(cases / "found"), str(cases / "truth"), "--structures", "all"]) == 1
    assert "failed: a: Cannot read the mask panoptic.nii.gz" in capsys.readouterr().err


def test_two_folders_of_a_case_are_one_case(cases):
    found = evaluate_structures(cases / "found/a", cases / "truth/a")
    assert [one.case for one in found.results["CTV"]] == ["a"]
    assert found.things.panoptic["Needle"] == Panoptic(2, 1.625, 1, 1)
    inside = evaluate_structures(cases / "found/a/panoptic", cases / "truth/a/panoptic")
    assert inside.things.panoptic == found.things.panoptic


def test_things_without_masks_are_compared_by_distance_and_need_the_option(tmp_path, capsys):
    for name, drawn in (("found", FOUND), ("truth", TRUTH)):
        (tmp_path / name).mkdir()
        for case, things in drawn.items():
            write_things(tmp_path / name / f"{case}.things.json", things)
    pair = [str(tmp_path / "found"), str(tmp_path / "truth")]
    assert main(["evaluate", *pair]) == 2
    assert (
        "have needles and seeds of the same cases, but no masks; give --structures all." in capsys.readouterr().err
    )
    assert main(["evaluate", *pair, "--structures", "all", "-o", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "No mask gives a grid for the things of a, b: only distances are measured." in shown.err
    assert "over all" not in shown.out
    rows = json.loads((tmp_path / "out/structures.json").read_text())["panoptic"]
    assert {row["match"] for row in rows} == {"1 mm", "2 mm", "3 mm"}
    files = [str(tmp_path / name / "a.things.json") for name in ("found", "truth")]
    assert main(["evaluate", *files, "--structures", "seed"]) == 2


def test_ends_are_drawn_on_the_grid_of_a_mask_beside_them(tmp_path):
    for name, drawn in (("found", FOUND), ("truth", TRUTH)):
        (tmp_path / name).mkdir()
        write(Segmentation(GLAND.astype(np.uint8), AFFINE), tmp_path / name / "a.seg.nrrd")
        write_things(tmp_path / name / "a.things.json", drawn["a"])
    assert evaluate_structures(tmp_path / "found", tmp_path / "truth").things.panoptic == {
        "Needle": Panoptic(2, 1.625, 1, 1)
    }


@pytest.mark.parametrize("number", range(5))
def test_torchmetrics_agrees_on_regions_and_instances_of_two_images(number):
    """Category 0 is a region around instances of 1 and 2, blocks of 4 x 3; those of the prediction are moved."""
    rng = np.random.default_rng(number)
    ours, maps = {}, []
    for _ in range(2):
        images = []
        shifts = rng.integers(0, 3, (9, 2))
        for moved in (1, 0):
            labels = np.zeros((30, 30), int)
            for n, (x, y) in enumerate(np.argwhere(np.ones((3, 3))) * 10 + moved * shifts):
                labels[x + 1 : x + 5, y + 1 : y + 4] = n + 1
            images.append(labels)
        kinds = rng.integers(1, 3, (2, 9))
        category = [np.where(labels > 0, part[labels - 1], 0) for labels, part in zip(images, kinds, strict=True)]
        maps.append([np.stack(pair, -1) for pair in zip(category, images, strict=True)])
        counts = instance_counts(*images, tuple([str(kind) for kind in part] for part in kinds))
        region = panoptic_counts({"0": category[0] == 0}, {"0": category[1] == 0})
        for name, one in {**region, **counts}.items():
            ours[name] = ours.get(name, Panoptic()) + one
    metric = PanopticQuality({1, 2}, {0}, return_per_class=True, return_sq_and_rq=True)
    for drawn, truth in maps:
        metric.update(torch.as_tensor(drawn)[None], torch.as_tensor(truth)[None])
    for kind, expected in zip(("1", "2", "0"), metric.compute().tolist(), strict=True):  # instances come first
        one = ours[kind]
        values = (one.quality, one.segmentation_quality or 0.0, one.recognition_quality)
        assert values == pytest.approx(expected, abs=1e-6)
    assert 0 < ours["1"].matched + ours["2"].matched < 18
