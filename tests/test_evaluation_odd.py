"""Evaluations that could flatter a model, lose work or show the wrong thing."""

import csv
import json
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from cubes import AFFINE, SHAPE, cube, fill

from prostate_seg.cli import main
from prostate_seg.errors import InputError
from prostate_seg.evaluation import evaluate_folders, write_results
from prostate_seg.evaluation.comparison import compare, read_table
from prostate_seg.evaluation.metrics import DISTANCES, SCORES
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.reading.masks import read_mask
from prostate_seg.system.input_files import distinct_names
from prostate_seg.system.json_files import write_json
from prostate_seg.writing import write
from prostate_seg.writing.manifest import mask_digest


def run(*arguments):
    return main(list(map(str, arguments)))


def test_a_contour_corrected_in_slicer_counts_not_the_untouched_file_beside_it(tmp_path):
    for observer, last in (("model", 14), ("A", 9)):
        case = tmp_path / observer / "one"
        case.mkdir(parents=True)
        write(cube(4, 14), case / "ctv.nii.gz")
        write(cube(4, last), case / "ctv.seg.nrrd")
        write_json(case / "manifest.json", {"ctv_sha256": mask_digest(cube(4, 14))})
    (row,) = evaluate_folders(tmp_path / "model", tmp_path / "A")
    assert row.metrics.dice == pytest.approx(2 * 5 / (10 + 5))  # A erased half
    write(cube(4, 12), tmp_path / "A" / "one" / "ctv.nii.gz")
    (row,) = evaluate_folders(tmp_path / "model", tmp_path / "A")
    assert "were both changed and differ" in row.error


def test_a_prediction_whose_volume_changes_by_resampling_is_refused(tmp_path):
    fine = np.zeros((80, 64, 40), np.uint8)
    fine[16:56, 16:48, 8:32] = 1
    fine[2:14, 2:60, 33] = 1  # a sheet between two slices of the reference: 2 % of the mask, then 40 of them
    affine = np.diag([-0.25, -0.25, 0.5, 1.0])
    affine[:3, 3] = 0.375, 0.375, -0.75
    reference = fill(tmp_path / "r", a=cube(4, 14))
    (row,) = evaluate_folders(fill(tmp_path / "p", a=Segmentation(fine, affine)), reference, resample=True)
    assert "mL became" in row.note
    fine[2:14, 2:60, (1, 3, 5, 33, 35, 37)] = 1
    (row,) = evaluate_folders(fill(tmp_path / "q", a=Segmentation(fine, affine)), reference, resample=True)
    assert "give both masks on the finer grid" in row.error


def test_observers_given_as_files_are_one_case_of_the_model(tmp_path, capsys):
    folder = fill(tmp_path / "f", pred=cube(4, 14), obsA=cube(4, 14), obsB=cube(8, 18))
    files = [folder / f"{name}.nii.gz" for name in ("pred", "obsA", "obsB")]
    assert run("evaluate", *files, "-o", tmp_path / "out") == 0
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [(row["case"], row["observer"]) for row in document["cases"]] == [("pred", "obsA"), ("pred", "obsB")]
    (dice,) = [one for one in document["observers"]["model_minus_observers"] if one["metric"] == "dice"]
    assert (dice["mean_second"], dice["mean_first"]) == pytest.approx(((1 + 0.6) / 2, 0.6))


def test_observers_whose_masks_cannot_be_compared_are_rows_and_exit_1(tmp_path, capsys):
    model = fill(tmp_path / "model", a=cube(4, 14), b=cube(4, 14))
    first = fill(tmp_path / "A", a=cube(4, 14), b=cube(4, 14))
    moved = AFFINE.copy()
    moved[0, 3] = 3.0
    second = fill(tmp_path / "B", a=cube(4, 14))
    write(Segmentation(cube(7, 17).labels, moved), second / "b.nii.gz")
    assert run("evaluate", model, first, second, "-o", tmp_path / "out") == 1
    told = capsys.readouterr()
    assert "failed: b (A - B): The grids differ" in told.err
    assert "observers' own agreement, 1 cases" in told.out
    with (tmp_path / "out" / "observers.csv").open(newline="") as stream:
        assert ["The grids differ" in row["error"] for row in csv.DictReader(stream)] == [False, True]


def test_two_observers_without_a_common_case_leave_the_model_s_rows(tmp_path, capsys):
    model = fill(tmp_path / "model", a=cube(4, 14), b=cube(4, 14))
    observers = fill(tmp_path / "A", a=cube(4, 14)), fill(tmp_path / "B", b=cube(4, 14))
    assert run("evaluate", model, *observers, "-o", tmp_path / "out") == 1
    assert "has the name of one in" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.html").is_file()


def test_an_image_belongs_to_the_case_of_exactly_its_name(tmp_path):
    masks = {"P1": cube(4, 14), "P1.2": cube(5, 15)}
    model, reference = fill(tmp_path / "p", **masks), fill(tmp_path / "r", **masks)
    images = tmp_path / "images"
    images.mkdir()
    gray = np.random.default_rng(0).integers(20, 90, SHAPE, np.uint8)
    for name, values in (("P1", gray), ("P1.2", gray[::-1].copy())):
        write(Volume(values, AFFINE), images / f"{name}.nii.gz")
    (images / "P1.json").write_text("{}")
    assert run("evaluate", model, reference, "-o", tmp_path / "out", "--images", images) == 0
    first, second = ((tmp_path / "out" / "cases" / f"{name}.html").read_text("utf-8") for name in masks)
    assert "contours lie on black" not in first + second
    pictures = [page[page.index('"slices":') :][:2000] for page in (first, second)]
    assert pictures[0] != pictures[1]
    write(Volume(gray, AFFINE), images / "P1.nrrd")
    run("evaluate", model, reference, "-o", tmp_path / "out", "--images", images)
    assert "could both be the image" in (tmp_path / "out" / "cases" / "P1.html").read_text("utf-8")


def test_the_folder_that_segment_wrote_gives_the_images_and_an_odd_one_is_told(tmp_path):
    model, reference = fill(tmp_path / "p", a=cube(4, 14), b=cube(4, 14)), fill(tmp_path / "r", a=cube(4, 14))
    write(cube(4, 14), reference / "b.nii.gz")
    (tmp_path / "images" / "a").mkdir(parents=True)
    gray = np.random.default_rng(0).integers(20, 90, SHAPE, np.uint8)
    write(Volume(gray, AFFINE), tmp_path / "images" / "a" / "trus.nrrd")
    large = gray.astype(np.int64)
    large[5, 5, 5] = 2**40
    nibabel.save(nibabel.Nifti1Image(large, AFFINE, dtype=np.int64), tmp_path / "images" / "b.nii.gz")
    assert run("evaluate", model, reference, "-o", tmp_path / "out", "--images", tmp_path / "images") == 0
    assert "contours lie on black" not in (tmp_path / "out" / "cases" / "a.html").read_text("utf-8")
    assert "The image cannot be shown" in (tmp_path / "out" / "cases" / "b.html").read_text("utf-8")


def test_three_evaluations_in_folders_of_one_name_are_told_apart_by_their_parents(tmp_path):
    assert distinct_names([tmp_path / "a" / "eval", tmp_path / "b" / "eval"]) == ["a/eval", "b/eval"]
    with pytest.raises(InputError, match="Two of the paths are the same"):
        distinct_names([tmp_path / "a", tmp_path / "a"])
    reference = fill(tmp_path / "r", one=cube(4, 14), two=cube(4, 14))
    evaluations = []
    for last, name in ((14, "x"), (13, "y"), (12, "z")):
        evaluations.append(tmp_path / name / "eval")
        model = fill(tmp_path / name / "masks", one=cube(4, last), two=cube(4, last))
        run("evaluate", model, reference, "-o", evaluations[-1])
    assert run("compare", *evaluations, "-o", tmp_path / "c", "--metrics", "dice") == 0
    text = (tmp_path / "c" / "comparison.html").read_text("utf-8")
    plots = json.loads(text.split("const report = ")[1].split(";</script>")[0])["plots"]
    axes = [(p["layout"]["xaxis"]["title"]["text"], p["layout"]["yaxis"]["title"]["text"]) for p in plots.values()]
    assert axes == [("x/eval", "y/eval"), ("x/eval", "z/eval"), ("y/eval", "z/eval")]
    assert len({json.dumps(p["data"]) for p in plots.values()}) == 3


def test_nrrd_and_metaimage_without_directions_are_assumed(tmp_path):
    image = sitk.GetImageFromArray(cube(4, 14).labels.transpose(2, 1, 0))
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(tmp_path / "with.nrrd"))
    header, data = (tmp_path / "with.nrrd").read_bytes().split(b"\n\n", 1)
    kept = [line for line in header.split(b"\n") if not line.startswith((b"space", b"kinds"))]
    (tmp_path / "without.nrrd").write_bytes(b"\n".join([*kept, b"spacings: 1 1 2"]) + b"\n\n" + data)
    assert read_mask(tmp_path / "with.nrrd").orientation == "file"
    found = read_mask(tmp_path / "without.nrrd")
    assert (found.orientation, found.spacing_mm) == ("assumed", (1.0, 1.0, 2.0))
    np.testing.assert_allclose(found.affine, AFFINE)


def test_a_file_that_no_reader_expects_is_a_row_and_the_others_are_done(tmp_path, capsys):
    model, reference = fill(tmp_path / "p", a=cube(4, 14)), fill(tmp_path / "r", a=cube(4, 14), b=cube(4, 14))
    nibabel.save(nibabel.Nifti1Image(cube(4, 14).labels, AFFINE), model / "b.nii")
    damaged = bytearray((model / "b.nii").read_bytes())
    damaged[70:72] = (99).to_bytes(2, "little")  # no such data type
    (model / "b.nii").write_bytes(damaged)
    assert run("evaluate", model, reference, "-o", tmp_path / "out") == 1
    assert "failed: b: Cannot read the mask b.nii" in capsys.readouterr().err
    assert "a,1.0," in (tmp_path / "out" / "metrics.csv").read_text()


def test_nothing_of_an_earlier_evaluation_stays_in_its_folder(tmp_path):
    model, first, second = (fill(tmp_path / name, a=cube(4, 14), b=cube(4, 13)) for name in ("m", "A", "B"))
    run("evaluate", model, first, second, "-o", tmp_path / "out")
    assert (tmp_path / "out" / "observers.csv").is_file()
    run("evaluate", model, first, "-o", tmp_path / "out", "--pages", 1)
    assert not (tmp_path / "out" / "observers.csv").exists()
    assert len(list((tmp_path / "out" / "cases").iterdir())) == 1


def test_options_about_the_report_are_refused_where_there_is_none(tmp_path, capsys):
    model, reference = fill(tmp_path / "m", a=cube(4, 14)), fill(tmp_path / "r", a=cube(4, 14))
    for options, told in (
        (["--pages", 3], "--pages is about the report; give -o"),
        (["--images", model], "--images is about the report; give -o"),
        (["--images", model, "--pages", 0, "-o", tmp_path / "out"], "--pages 0 makes none"),
    ):
        assert run("evaluate", model, reference, *options) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_case_whose_name_is_no_utf_8_is_written_with_escapes(tmp_path):
    model = fill(tmp_path / "m", a=cube(4, 14))
    latin = Path(str(model) + "/M\udcfcller.nii.gz")  # the byte 0xfc
    try:
        (model / "a.nii.gz").rename(latin)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (tmp_path / "r").mkdir()
    shutil.copy(latin, tmp_path / "r")
    assert run("evaluate", model, tmp_path / "r", "-o", tmp_path / "out") == 0
    assert r"M\udcfcller" in (tmp_path / "out" / "metrics.csv").read_text()


SCRIPT = "from prostate_seg.evaluation import evaluate_folders\nprint(len(evaluate_folders({0!r}, {0!r})))\n"


def test_a_plain_script_and_a_thread_evaluate_nine_cases(tmp_path):
    folder = fill(tmp_path / "m", **{f"case{n}": cube(4, 14) for n in range(9)})
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(str(folder))], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "9"
    rows = []
    thread = threading.Thread(target=lambda: rows.extend(evaluate_folders(folder, folder, jobs=2)))
    thread.start()
    thread.join()
    assert [row.error for row in rows] == [""] * 9


def test_the_surround_of_a_picture_in_decibels_is_black(small_phantom):
    from prostate_seg.writing.view import view_of

    decibels = small_phantom.image.array.astype(np.float32) / 4 - 100
    field = np.zeros(decibels.shape, bool)
    field[20:60, 20:40] = True
    view = view_of(replace(small_phantom.image, array=decibels, field_of_view=field))
    assert view.gray.shape[:2] == (40, 20)  # what is outside is cut off as black
    sparse = np.zeros((40, 40, 5), np.float32)
    sparse[20, 20, 2] = 7.5
    assert view_of(Volume(sparse, AFFINE)).gray.max() == 255


@pytest.mark.parametrize("metric", list(SCORES))
def test_replacing_a_case_that_is_20_mm_off_by_a_miss_makes_each_metric_s_comparison_worse(twenty_mm, metric):
    far, missed = (compare([twenty_mm["good"], twenty_mm[name]], [metric])[0] for name in ("far", "missed"))
    worse = SCORES[metric] * (far.mean_difference - missed.mean_difference)
    assert worse >= 0  # Dice and the like are 0 both ways
    assert worse > 0 or metric not in DISTANCES
    assert missed.better is False


@pytest.fixture(scope="module")
def twenty_mm(tmp_path_factory):
    """Tables of three cases: all right; one 20 mm off; that one missed."""
    folder = tmp_path_factory.mktemp("twenty")
    labels = np.zeros((60, 30, 20), np.uint8)
    labels[5:20, 5:25, 4:16] = 1
    gland = Segmentation(labels, AFFINE)
    changes = {"good": labels, "far": np.roll(labels, 20, axis=0), "missed": 0 * labels}
    reference = fill(folder / "reference", a=gland, b=gland, c=gland)
    found = {}
    for name, changed in changes.items():
        model = fill(folder / name, a=gland, b=replace(gland, labels=changed), c=gland)
        write_results(evaluate_folders(model, reference), folder / "evaluated" / name)
        found[name] = read_table(folder / "evaluated" / name)
    return found
