"""``prepare``: a messy export of a planning system becomes training data; every voxel and reason is checked."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from exports import NAMES, SHAPE, SPACING, hashed, move, small, study

from prostate_seg import read
from prostate_seg.cli import main
from prostate_seg.reading.masks import read_segments
from prostate_seg.training.datalist import load
from prostate_seg.writing import write


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    """Six studies of five patients; one without contours, one structure set whose images are missing."""
    folder = tmp_path_factory.mktemp("export")
    made = [study(folder, number, patient="MRN0" if number == 1 else None) for number in range(5)]
    made.append(study(folder, 5, contours=False))
    study(folder, 7)
    shutil.rmtree(folder / hashed("study1") / hashed("series7"))  # its structure set is now an orphan
    (folder / "readme.txt").write_text("exported on Monday")
    (folder / "._hidden").write_bytes(b"\0")
    return folder, made


@pytest.fixture(scope="module")
def prepared(messy, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "data"
    assert main(["prepare", str(messy[0]), "-o", str(output), "--validation", "4"]) == 0
    return output


def test_five_of_six_images_are_paired_and_what_is_left_over_has_its_reason(prepared, messy):
    lists = load(prepared / "datalist.json")
    assert [len(lists[part]) for part in ("training", "validation", "testing")] == [4, 1, 0]
    left = json.loads((prepared / "left_over.json").read_text())["left_over"]
    reasons = {one["name"]: one["reason"] for one in left}
    assert reasons[hashed("series5")] == "it has no contours that can be used"
    assert reasons[hashed("rs7")] == "it belongs to no image of this export"
    assert len(reasons) == 2


def test_masks_and_images_are_those_of_the_study_voxel_for_voxel(prepared, messy):
    lists = load(prepared / "datalist.json")
    cases = [case for part in lists.values() for case in part]
    truths = {read(prepared / "images" / f"{case['case']}.nrrd").array.tobytes(): case for case in cases}
    assert len(truths) == 5
    for _, masks, _ in messy[1][:5]:
        expected = [mask.sum() for mask in masks]
        fits = []
        for case in cases:
            found, affine = read_segments(Path(case["label"]))
            fits.append([int(found[name].sum()) for name in NAMES] == expected)
            if fits[-1]:
                assert all(np.array_equal(found[name], mask) for name, mask in zip(NAMES, masks, strict=True))
                assert np.allclose(np.abs(np.linalg.norm(affine[:3, :3], axis=0)), SPACING, atol=1e-3)
        assert sum(fits) == 1


def test_no_file_holds_a_name_an_id_or_a_date_and_two_studies_of_a_patient_stay_together(prepared):
    texts = b"".join(path.read_bytes() for path in prepared.rglob("*") if path.is_file() and path.suffix != ".png")
    for secret in (b"MRN", b"Doe", b"19000101", hashed("series0").encode()):
        assert secret not in texts
    lists = load(prepared / "datalist.json")
    patients = {part: {case["patient"] for case in cases} for part, cases in lists.items()}
    assert len(patients["training"] | patients["validation"]) == 4
    assert not patients["training"] & patients["validation"]
    assert sorted(path.name for path in (prepared / "pictures").iterdir())[0] == "P001-1.png"


def test_a_dry_run_shows_the_pairs_and_writes_nothing(messy, tmp_path, capsys):
    assert main(["prepare", str(messy[0]), "-o", str(tmp_path / "data"), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("CTV <- Prostate, Urethra <- uretra, Rectal wall <- Rectum_wall") == 5
    assert shown.count("left over: ") == 2
    assert not (tmp_path / "data").exists()


def test_an_interrupted_run_goes_on_and_a_second_one_makes_nothing_anew(messy, prepared, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(prepared, data)
    (data / "datalist.json").unlink()
    (data / "labels/P002-1.seg.nrrd").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in (data / "images").iterdir()}
    assert main(["prepare", str(messy[0]), "-o", str(data), "--validation", "4", "--jobs", "2"]) == 0
    again = [path.name for path in (data / "images").iterdir() if path.stat().st_mtime_ns != before[path.name]]
    assert again == ["P002-1.nrrd"]
    assert (data / "datalist.json").read_text() == (prepared / "datalist.json").read_text()


def test_an_output_inside_the_export_is_refused(messy, capsys):
    assert main(["prepare", str(messy[0]), "-o", str(messy[0] / "data")]) == 2
    assert "lie in each other; give another output" in capsys.readouterr().err
    assert not (messy[0] / "data").exists()


def test_names_of_patients_and_cases_stay_when_studies_come_and_go(tmp_path):
    """Study 4 comes later and sorts before study 2: it gets a new number, and study 2 keeps its own."""
    export, data = tmp_path / "export", tmp_path / "data"
    study(export, 2)
    assert main(["prepare", str(export), "-o", str(data)]) == 0
    before = json.loads((data / "datalist.json").read_text())["training"]
    for number in (0, 4):
        study(tmp_path / "a more", number)
    assert main(["prepare", str(tmp_path / "a more"), str(export), "-o", str(data)]) == 0
    after = json.loads((data / "datalist.json").read_text())["training"]
    assert [case["case"] for case in after] == ["P001-1", "P002-1", "P003-1"]
    assert after[0] == before[0]
    shutil.rmtree(export)
    assert main(["prepare", str(tmp_path / "a more"), "-o", str(data)]) == 0
    assert len(json.loads((data / "datalist.json").read_text())["training"]) == 3


def test_another_roi_makes_the_case_anew_and_leaves_no_old_file(tmp_path):
    export, data = tmp_path / "export", tmp_path / "data"
    study(export, 0)
    assert main(["prepare", str(export), "-o", str(data)]) == 0
    assert [path.name for path in (data / "labels").iterdir()] == ["P001-1.seg.nrrd"]
    assert main(["prepare", str(export), "-o", str(data), "--roi", "Urethra=", "--roi", "Rectal wall="]) == 0
    assert [path.name for path in (data / "labels").iterdir()] == ["P001-1.nii.gz"]


def test_a_case_that_was_interrupted_between_its_files_is_made_anew(tmp_path, monkeypatch):
    export, data = tmp_path / "export", tmp_path / "data"
    study(export, 0)
    assert main(["prepare", str(export), "-o", str(data)]) == 0
    (data / "images/P001-1.nrrd").write_bytes(b"of another case")
    assert main(["prepare", str(export), "-o", str(data)]) == 0
    assert read(data / "images/P001-1.nrrd").array.shape == SHAPE

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("prostate_seg.training.prepare.write_png", stopped)
    assert main(["prepare", str(export), "-o", str(data), "--roi", "Urethra="]) == 1
    assert not (data / "records/P001-1.json").exists()
    monkeypatch.undo()
    assert main(["prepare", str(export), "-o", str(data), "--roi", "Urethra="]) == 0
    found, _ = read_segments(data / "labels/P001-1.seg.nrrd")
    assert list(found) == ["CTV", "Rectal wall"]


def test_an_organ_off_the_image_is_left_out_and_the_ctv_is_taken(tmp_path):
    export, data = tmp_path / "export", tmp_path / "data"
    _, _, file = study(export, 0)
    move(file, 1)
    assert main(["prepare", str(export), "-o", str(data)]) == 0
    found, _ = read_segments(data / "labels/P001-1.seg.nrrd")
    assert list(found) == ["CTV", "Rectal wall"]
    (row,) = json.loads((data / "left_over.json").read_text())["left_over"]
    assert row["reason"].startswith("without Urethra: A contour of uretra")


def test_an_export_without_contours_is_refused_and_nothing_is_written(tmp_path, capsys):
    study(tmp_path / "export", 0, contours=False)
    assert main(["prepare", str(tmp_path / "export"), "-o", str(tmp_path / "data")]) == 2
    assert "No image of this export has contours that can be used" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_an_roi_off_the_image_leaves_this_case_out_and_the_others_are_done(tmp_path, capsys):
    export = tmp_path / "export"
    study(export, 0)
    _, _, file = study(export, 2)
    move(file, 0)
    assert main(["prepare", str(export), "-o", str(tmp_path / "data")]) == 1
    assert "A contour of Prostate" in capsys.readouterr().err
    assert [case["case"] for case in load(tmp_path / "data/datalist.json")["training"]] == ["P001-1"]
    assert not list((tmp_path / "data").rglob("P002-1*"))


def test_a_folder_with_something_else_is_not_touched(messy, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert main(["prepare", str(messy[0]), "-o", str(tmp_path)]) == 2
    assert "holds something else (thesis.txt); give a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("case1.nrrd", "case1_mask.nii.gz"), ("case1.nrrd", "labels/case1.nii.gz"),
        ("case 1.nrrd", "case 1_seg.nrrd"), ("images/a_us.nii.gz", "labels/a_us_mask.nii.gz"),
        ("c_image.nrrd", "c_label.nii.gz"), ("Washington.nrrd", "Washington.seg.nrrd"),
        ("segmentation_study/x.nrrd", "segmentation_study/x-ctv.nii.gz"),
    ],
)  # fmt: skip
def test_masks_are_paired_by_name(tmp_path, image, mask):
    export = tmp_path / "export"
    for file in (image, mask):
        (export / file).parent.mkdir(parents=True, exist_ok=True)
    write(small(1).image, export / image)
    write(small(1).truth, export / mask)
    assert main(["prepare", str(export), "-o", str(tmp_path / "data")]) == 0
    (case,) = load(tmp_path / "data/datalist.json")["training"]
    (found,) = read_segments(Path(case["label"]))[0].values()
    assert int(found.sum()) == int(small(1).truth.labels.sum())


@pytest.mark.slow
def test_prepared_cases_train_a_bundle_that_segments(messy, prepared, tiny_bundle, tmp_path):
    """Four steps of the docs: prepare (above), train, segment, evaluate; with a tiny network and one epoch."""
    given = ["--data", str(prepared), "-o", str(tmp_path / "run"), "--bundle", str(tiny_bundle), "--init", "none"]
    settings = {"train::trainer::max_epochs": 1, "val_interval": 1, "workers": 1, "amp": False, "batch_size": 2}
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    assert main(["train", *given, *changes]) == 0
    images, out = prepared / "images", tmp_path / "out"
    bundle = ["--bundle", str(tmp_path / "run/bundle"), "--tta", "none", "--format", "nifti"]
    assert main(["segment", str(images), "-o", str(out), *bundle]) == 0
    assert main(["evaluate", str(out), str(prepared / "labels"), "-o", str(tmp_path / "evaluation")]) == 0
    assert (tmp_path / "evaluation/metrics.csv").read_text().count("\n") == 6
