"""Several observers, other grids, directions, and pairs in processes."""

import csv
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from cubes import AFFINE, cube, fill

from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.evaluation import between_observers, evaluate, evaluate_folders, write_results
from prostate_seg.evaluation.comparison import read_table
from prostate_seg.evaluation.pairs import observer_names
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.writing import write


@pytest.fixture
def hospital(tmp_path):
    """A model 1 mm off observer A, 2 mm off B; the observers 1 mm apart from each other; two cases."""
    model = fill(tmp_path / "model", one=cube(5, 15), two=cube(5, 15))
    first = fill(tmp_path / "A" / "contours", one=cube(4, 14), two=cube(4, 14))
    second = fill(tmp_path / "B" / "contours", one=cube(3, 13), two=cube(3, 13))
    return model, first, second


def test_a_model_1_and_2_mm_off_two_observers_who_are_1_mm_apart_is_half_a_mm_further_than_they(hospital):
    model, first, second = hospital
    rows = evaluate_folders(model, [first, second])
    assert [(row.case, row.observer, row.metrics.hd_mm) for row in rows] == [
        ("one", "A/contours", 1.0),
        ("one", "B/contours", 2.0),
        ("two", "A/contours", 1.0),
        ("two", "B/contours", 2.0),
    ]
    between = between_observers([first, second], rows)
    assert [(row.observer, row.metrics.hd_mm) for row in between.rows] == [("A/contours - B/contours", 1.0)] * 2
    (hd,) = [one for one in between.differences if one.metric == "hd_mm"]
    assert (hd.mean_first, hd.mean_second, hd.mean_difference, hd.better) == (1.0, 1.5, 0.5, False)
    assert hd.cases == 2  # not 4: two observers make no second case


def test_a_missed_case_moves_the_model_away_from_the_observers_in_every_metric(hospital, tmp_path):
    model, first, second = hospital
    before = between_observers([first, second], evaluate_folders(model, [first, second])).differences
    write(cube(0, 0), model / "two.nii.gz")
    after = between_observers([first, second], evaluate_folders(model, [first, second])).differences
    worse = {a.metric: a.mean_second - b.mean_second for a, b in zip(after, before, strict=True)}
    better = {"dice", "iou", "slice_dice", *(f"surface_dice_{n}mm" for n in (1, 2, 3))}
    assert all(change < 0 if name in better else change > 0 for name, change in worse.items()), worse


def test_the_tables_hold_both_observers_and_their_agreement(hospital, tmp_path, capsys):
    model, first, second = map(str, hospital)
    assert main(["evaluate", model, first, second, "-o", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "model beside the observers' own agreement" in out
    assert "hd_mm                        1.500     1.000 +0.500 (+0.500 to +0.500)" in out
    with (tmp_path / "out" / "metrics.csv").open(newline="") as stream:
        assert [row["observer"] for row in csv.DictReader(stream)] == ["A/contours", "B/contours"] * 2
    with (tmp_path / "out" / "observers.csv").open(newline="") as stream:
        assert [float(row["hd_mm"]) for row in csv.DictReader(stream)] == [1.0, 1.0]
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["observers"]["summary"]["hd_mm"]["mean"] == 1.0
    assert read_table(tmp_path / "out").cases[0] == "one (A/contours)"


def test_observers_are_named_after_their_folders_and_the_same_one_twice_is_refused(tmp_path):
    assert observer_names([tmp_path / "x"]) == [""]
    assert observer_names([tmp_path / "A", tmp_path / "B"]) == ["A", "B"]
    with pytest.raises(InputError, match="Two of the paths are the same"):
        observer_names([tmp_path / "A", tmp_path / "A"])


def test_a_coarse_prediction_is_refused_and_resampled_only_on_demand_and_says_so(tmp_path, capsys):
    coarse = np.zeros((10, 8, 5), np.uint8)
    coarse[2:7, 2:6, 1:4] = 1
    half_a_voxel = np.diag([-2.0, -2.0, 4.0, 1.0])
    half_a_voxel[:3, 3] = -0.5, -0.5, 1.0
    predictions = fill(tmp_path / "p", a=Segmentation(coarse, half_a_voxel))
    references = fill(tmp_path / "r", a=cube(4, 14))
    arguments = ["evaluate", str(predictions), str(references)]
    assert main(arguments) == 2  # nothing could be measured
    assert "The grids differ: prediction 10 x 8 x 5 voxels of 2 x 2 x 4 mm" in capsys.readouterr().err
    assert main([*arguments, "--resample"]) == 0
    told = capsys.readouterr().err
    assert "was brought to the reference's 20 x 16 x 10 voxels" in told
    assert "interpolated linearly and cut at one half" in told
    (row,) = evaluate_folders(predictions, references, resample=True)
    assert row.metrics.dice > 0.97  # the same box; linear interpolation rounds its edges
    assert row.metrics.hd_mm <= 1.5


def test_a_prediction_cropped_by_whole_voxels_is_copied_exactly(tmp_path):
    full = cube(4, 14)
    moved = AFFINE.copy()
    moved[0, 3] = -2.0
    predictions = fill(tmp_path / "p", a=Segmentation(full.labels[2:].copy(), moved))
    (row,) = evaluate_folders(predictions, fill(tmp_path / "r", a=full), resample=True)
    assert row.metrics.dice == 1.0
    assert "its voxels were copied" in row.note


def test_a_prediction_outside_the_reference_s_image_is_not_cut_off_silently(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] = -10.0
    predictions = fill(tmp_path / "p", a=Segmentation(cube(4, 14).labels, moved))
    (row,) = evaluate_folders(predictions, fill(tmp_path / "r", a=cube(4, 14)), resample=True)
    assert row.metrics is None
    assert "40.0 % of the segment a.nii.gz lies outside the image" in row.error


def test_directions_are_told_where_known_and_left_out_with_the_reason_where_assumed(tmp_path):
    known = evaluate(cube(5, 15), cube(4, 14))
    assert (known.left_right_mm, known.distance_left_mm is None) == (10.0, False)
    assert evaluate(cube(5, 15, "assumed"), cube(4, 14)).left_right_mm is None
    predictions = fill(tmp_path / "p", a=cube(5, 15, "assumed"), b=cube(5, 15))
    a, b = evaluate_folders(predictions, fill(tmp_path / "r", a=cube(4, 14), b=cube(4, 14)))
    assert (a.metrics.dice_apex, a.metrics.left_right_mm) == (None, None)
    assert a.note.startswith("The files do not say how the axes lie in the patient")
    assert b.metrics.dice_apex == pytest.approx(0.9)
    assert b.note == ""


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".seg.nrrd", ".mha"])
def test_an_assumed_orientation_is_kept_in_the_file(tmp_path, suffix):
    from prostate_seg.reading.masks import read_mask

    for orientation in ("assumed", "file"):
        write(cube(5, 15, orientation), tmp_path / f"m{suffix}")
        assert read_mask(tmp_path / f"m{suffix}").orientation == orientation


def test_two_processes_give_the_rows_of_one_and_a_broken_pair_is_a_row(tmp_path):
    masks = {f"case{number}": cube(4, 14 - number % 3) for number in range(6)}
    predictions, references = fill(tmp_path / "p", **masks), fill(tmp_path / "r", **masks)
    (predictions / "case3.nii.gz").write_bytes(b"damaged")
    one, two = (evaluate_folders(predictions, references, jobs=jobs) for jobs in (1, 2))
    assert one == two
    assert [bool(row.error) for row in two] == [False, False, False, True, False, False]
    assert main(["evaluate", str(predictions), str(references), "--jobs", "0"]) == 2


def _die(item):
    if item == 2:
        os._exit(9)
    return item * 10


def test_an_item_that_takes_its_process_with_it_leaves_the_others():
    from prostate_seg.system.parallel import in_processes

    assert list(in_processes(_die, [1, 2, 3], 2)) == [10, None, 30]


KILLED = """
import os, time
from prostate_seg.system.parallel import in_processes

if __name__ == "__main__":
    for number in in_processes({function}, [{folder!r}] * 2, 2):
        os.kill(os.getpid(), 9)
"""


def test_a_killed_run_leaves_no_process_behind(tmp_path):
    script = tmp_path / "killed.py"
    worker = (
        "def work(folder):\n    open(f'{folder}/{os.getpid()}', 'w').close()\n    time.sleep(1)\n    return 1\n"
    )
    text = KILLED.format(function="work", folder=str(tmp_path / "pids"))
    script.write_text(text.replace("if __name__", f"{worker}\n\nif __name__"))
    (tmp_path / "pids").mkdir()
    done = subprocess.run([sys.executable, str(script)], check=False)
    assert done.returncode == -9
    pids = [int(path.name) for path in (tmp_path / "pids").iterdir()]
    assert len(pids) >= 1
    time.sleep(3)
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []


def test_one_slice_is_measured_in_its_plane_and_has_no_volume(tmp_path):
    labels = np.zeros((12, 12, 1), np.uint8)
    labels[3:9, 3:9] = 1
    shifted = np.roll(labels, 1, axis=0)
    predictions = fill(tmp_path / "p", a=Segmentation(shifted, AFFINE))
    (row,) = evaluate_folders(predictions, fill(tmp_path / "r", a=Segmentation(labels, AFFINE)))
    assert (row.metrics.hd_mm, row.metrics.volume_ml) == (1.0, None)
    paths = write_results([row], tmp_path / "out")
    assert json.loads(paths[1].read_text())["cases"][0]["states"]["volume_ml"] == "undefined"
