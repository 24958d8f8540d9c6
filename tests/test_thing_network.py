"""Needles, seeds and calcifications: what the released network finds, and what the folder of a case says of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prostate_seg import load_bundle
from prostate_seg.cli import main
from prostate_seg.errors import BundleError, SettingsError
from prostate_seg.evaluation.metrics.things import match_things
from prostate_seg.geometry.things import grouped
from prostate_seg.inference.released import released_bundle
from prostate_seg.phantom import make_phantom, with_implants
from prostate_seg.phantom.study import write_phantom
from prostate_seg.reading.things import phantom_trained_things, read_things
from prostate_seg.system.digests import sha256_of_file

BUNDLE = Path(released_bundle())
SEED = 4


@pytest.fixture(scope="module")
def phantom():
    """A phantom with 6 needles and 40 seeds."""
    return make_phantom(SEED, settings=with_implants(SEED, needles=6, seeds=40))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A DICOM study of a phantom with implants."""
    folder = tmp_path_factory.mktemp("implants")
    return write_phantom(folder, SEED, image_format="dicom", implants=True)[0]


@pytest.fixture(scope="module")
def made(study, tmp_path_factory):
    """The output folder of that study, segmented with needles and seeds."""
    output = tmp_path_factory.mktemp("made") / "out"
    assert run(study, output, "--structures", "needle,Seed", "--format", "seg-nrrd,nrrd,rtstruct,slicer") == 0
    return output


def run(image, output, *arguments):
    try:
        return main(["segment", str(image), "-o", str(output), "--tta", "none", "--device", "cpu", *arguments])
    except SystemExit as left:
        return left.code


def changed_bundle(folder, **changes):
    """A copy of the released bundle with other entries in things.json."""
    place = folder / "bundle"
    shutil.copytree(BUNDLE, place, ignore=shutil.ignore_patterns("docs", "model_phantoms.pt"))
    file = place / "configs/things.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return place


def test_the_needles_of_a_phantom_are_found_and_the_ctv_is_unchanged(phantom):
    found = load_bundle(structures=["needle", "seed"], ensembling="none")(phantom.image)
    alone = load_bundle(ensembling="none")(phantom.image)
    assert np.array_equal(found.labels, alone.labels)
    assert (found.structures, found.phantom_trained) == ({}, ("Needle", "Seed"))
    by_name, truth = grouped(found.things), grouped(phantom.things)
    needles = match_things(by_name["Needle"], truth["Needle"], [2.0])[0]
    assert needles.recognition_quality >= 0.8
    assert needles.median_error_mm <= 1.0
    seeds = match_things(by_name["Seed"], truth["Seed"], [2.0])[0]
    assert seeds.recognition_quality >= 0.6
    assert all(0.3 <= one.score <= 1 for one in found.things)


def test_the_needles_of_a_mirrored_scan_are_mirrored_because_the_mirror_image_is_a_second_pass(phantom):
    finder = load_bundle(structures=["Needle"]).further.things
    scan = tuple(
        replace(one, **{name: getattr(one, name)[..., 10:26]})
        for one, name in ((phantom.image, "array"), (phantom.truth, "labels"))
    )
    mirrored = tuple(
        replace(one, **{name: getattr(one, name)[::-1].copy()})
        for one, name in zip(scan, ("array", "labels"), strict=True)
    )

    def moved(one):
        """The largest distance between tips and mirrored tips of the mirrored scan, in voxels."""
        tips, others = (
            np.linalg.solve(phantom.image.affine, np.array([(*thing.end_mm, 1) for thing in one(*pair)]).T)[:3].T
            for pair in (scan, mirrored)
        )
        if len(tips) != len(others):
            return np.inf
        others[:, 0] = len(phantom.image.array) - 1 - others[:, 0]
        far = np.linalg.norm(tips[:, None] - others, axis=2)
        return max(far.min(axis=axis).max() for axis in (0, 1))

    alone = load_bundle(structures=["Needle"], ensembling="none").further.things
    assert (finder.mirrored, alone.mirrored) == (True, False)
    assert moved(finder) < 0.01
    assert moved(alone) > 0.1


def test_a_bundle_that_says_nothing_of_mirror_images_looks_at_the_image_alone(tmp_path):
    place = changed_bundle(tmp_path)
    file = place / "configs/things.json"
    content = json.loads(file.read_text())
    assert content.pop("mirrored") is True
    assert content["inferer"]["overlap"] == [0.25, 0.25, 0.5]
    file.write_text(json.dumps(content))
    assert not load_bundle(place, structures="needle").further.things.mirrored


def test_without_a_prostate_or_with_one_slice_no_thing_is_looked_for(phantom):
    finder = load_bundle(structures=["Needle"], ensembling="none").further.things
    ctv = replace(phantom.truth, labels=np.zeros_like(phantom.truth.labels))
    assert finder(phantom.image, ctv) == ()
    one = phantom.image.array[..., :1]
    slice_ = replace(phantom.image, array=one)
    assert finder(slice_, replace(phantom.truth, labels=phantom.truth.labels[..., 18:19])) == ()


def test_things_are_written_although_no_format_asks_for_them_with_what_taught_them(made, study):
    case = made / study.name
    manifest = json.loads((case / "manifest.json").read_text())
    things = read_things(case / "things.json")
    counted = {name: facts["count"] for name, facts in manifest["things"].items()}
    assert counted == {name: sum(one.structure == name for one in things) for name in ("Needle", "Seed")}
    assert counted["Needle"] > 0
    assert {facts["learnt_on"] for facts in manifest["things"].values()} == {"phantoms"}
    assert manifest["things_sha256"] == sha256_of_file(BUNDLE / "models/things.pt")
    assert "things.json" in manifest["outputs"]
    assert phantom_trained_things(case / "things.json") == ("Needle", "Seed")
    assert any("Phantom-trained, not tried on a patient: Needle, Seed" in one for one in manifest["warnings"])


def test_an_exported_case_keeps_its_needles_and_refuses_those_of_another_image(made, study, tmp_path, capsys):
    case = tmp_path / "case"
    shutil.copytree(made / study.name, case)
    given = ["export", str(case), "--source", str(study), "--format", "things,rtstruct"]
    assert main([*given, "-o", str(tmp_path / "out")]) == 0
    again = tmp_path / "out/case/things.json"
    assert read_things(again) == read_things(case / "things.json")
    assert phantom_trained_things(again) == ("Needle", "Seed")
    content = json.loads((case / "things.json").read_text())
    (case / "things.json").write_text(json.dumps(content | {"image_sha256": "0" * 64}))
    assert main([*given, "-o", str(tmp_path / "other")]) == 2
    assert "things of things.json was drawn on another image than" in capsys.readouterr().err


@pytest.mark.parametrize(("names", "status"), [("Seed,needle", 0), ("needle", 2), ("needle,seed,urethra", 2)])
def test_a_finished_case_counts_as_done_if_the_same_things_were_looked_for(made, study, capsys, names, status):
    given = ("--structures", names, "--format", "seg-nrrd", "--skip-existing")
    assert run(study, made, *given) == status
    assert ("was made with another --structures" in capsys.readouterr().err) == bool(status)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"things": ["Balloon"]}, "names 'Balloon', expected things of the table: needle, seed, calcification"),
        ({"things": ["Urethra"]}, "names 'Urethra', expected things of the table"),
        ({"things": []}, "gives no list of names as things"),
        ({"things": ["Seed", "seed"], "learnt_on": {"Seed": "phantoms", "seed": "phantoms"}}, "a thing twice"),
        ({"things": ["Seed"]}, "is no Segmenter of 1 classes, one a thing"),
        ({"learnt_on": {"Needle": "dogs"}}, "whether it was learnt on phantoms or patients"),
        ({"preprocessing": {"transforms": 7}}, "is no Compose with a list of transforms"),
        ({"mirrored": "no"}, "gives 'no' as mirrored, expected true or false"),
        ({"inferer": {"_target_": "os.system"}}, r"asks for 'os\.system', which is not allowed here"),
    ],
)
def test_a_damaged_list_of_things_is_refused_in_one_sentence(tmp_path, changes, message):
    with pytest.raises(BundleError, match=message):
        load_bundle(changed_bundle(tmp_path, **changes), structures="seed", ensembling="none")


def test_a_bundle_without_weights_of_its_things_says_what_to_leave_out(tmp_path):
    place = changed_bundle(tmp_path)
    (place / "models/things.pt").unlink()
    with pytest.raises(
        BundleError, match=r"things\.pt is missing; .* leave Needle, Seed, Calcification out of --str"
    ):
        load_bundle(place, structures=["all", "Needle"])
    load_bundle(place, structures="all")
    (place / "configs/things.json").unlink()
    with pytest.raises(SettingsError, match="There is no structure Needle; expected all, or some of CTV, Per"):
        load_bundle(place, structures="Needle")
