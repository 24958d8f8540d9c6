"""``check-data``: findings are about a structure, things may lie apart, and a page shows the slices of the file."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from public_sets import deepreg_case, micro_scan, regpro_case, tcia_image, tcia_surface
from training_sets import SHAPE, SPACING_MM, clean_set, copied

from prostate_seg.cli import main
from prostate_seg.geometry.structures import CTV
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.phantom import make_phantom
from prostate_seg.training.check.facts import CaseFacts, Entry
from prostate_seg.training.check.geometry_checks import few_slices, orientation
from prostate_seg.training.public_sets.origin import affine_of
from prostate_seg.writing import write


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return clean_set(tmp_path_factory.mktemp("clean") / "data")


@pytest.fixture
def data(clean, tmp_path):
    return copied(clean, tmp_path / "data")


def found(folder, capsys):
    main(["check-data", str(folder), "--json"])
    return json.loads(capsys.readouterr().out)["findings"]


def put_structures(data, **structures):
    """Give case c0 other structures in one file with its CTV."""
    case = data.cases["c0"]
    case["structures"] = dict.fromkeys(structures, case["label"])
    write(replace(data.mask("c0"), structures=structures), data.folder / case["label"])


def test_two_seeds_apart_are_no_gap_and_a_case_without_calcifications_is_a_note(data, capsys):
    seeds = np.zeros(SHAPE, bool)
    seeds[20:22, 20:22, [3, 9]] = True
    put_structures(data, Seed=seeds, Calcification=np.zeros(SHAPE, bool))
    (only,) = found(data.save(), capsys)
    assert (only["severity"], only["kind"], only["structures"]) == ("note", "empty", ["Calcification"])
    put_structures(data, GTV=seeds, Rectum=np.zeros(SHAPE, bool))
    assert [(one["severity"], one["kind"]) for one in found(data.save(), capsys)] == [
        ("error", "empty"), ("error", "gaps")
    ]  # fmt: skip


def test_a_gap_of_the_urethra_does_not_hide_an_island_of_the_ctv(data, capsys):
    mask = data.mask("c0").mask()
    mask[26:29, 2:5, 7] = True
    data.put("c0", mask=replace(data.mask("c0"), labels=mask.astype(np.uint8)))
    i, j, k = np.argwhere(mask).mean(axis=0).round().astype(int)
    urethra = np.zeros(SHAPE, bool)
    urethra[i, j, k - 1 : k + 2 : 2] = True
    put_structures(data, Urethra=urethra)
    both = found(data.save(), capsys)
    assert [(one["kind"], one["structures"]) for one in both] == [("gaps", ["Urethra"]), ("islands", [CTV])]


@pytest.mark.parametrize("axes", ["SPL", "RAI", "LPS"])
def test_the_page_shows_slice_28_of_the_file_whatever_its_axes_are(tmp_path, axes):
    """The mask is missing on slice 28 of 56; with the axes SPL these slices are sagittal."""
    phantom = make_phantom(300, shape=SHAPE, spacing_mm=SPACING_MM)
    affine = affine_of(axes, [SPACING_MM[axis] for axis in (2, 1, 0)])
    mask = phantom.truth.mask().transpose(2, 1, 0).copy()
    assert mask.any(axis=(0, 1))[[26, 27, 28]].all()
    mask[:, :, 27] = False
    for name, item in (
        ("image", Volume(phantom.image.array.transpose(2, 1, 0).copy(), affine)),
        ("label", Segmentation(mask.astype(np.uint8), affine)),
    ):
        write(item, tmp_path / f"{name}.nii.gz")
    (tmp_path / "datalist.json").write_text(
        json.dumps({"training": [{"image": "image.nii.gz", "label": "label.nii.gz"}]})
    )
    assert main(["check-data", str(tmp_path), "-o", str(tmp_path / "out")]) == 1
    shown = re.findall(r"<figcaption>Slice (\d+)</figcaption>", (tmp_path / "out/report.html").read_text("utf-8"))
    assert shown[0] == "28"


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """One case of each public set, and two slices of a sweep."""
    folder = tmp_path_factory.mktemp("sets")
    regpro_case(folder / "mu-regpro", "train", "c1", 3)
    deepreg_case(folder / "deepreg", "case000000", 7)
    micro_scan(folder / "micro-us", "train", 1)
    phantom, _, series = tcia_image(folder / "tcia-us-biopsy", 31)
    tcia_surface(folder / "tcia-us-biopsy", phantom.truth.mask(), series)
    return folder


@pytest.mark.parametrize("name", ["tcia-us-biopsy", "mu-regpro", "micro-us", "deepreg"])
def test_a_clean_public_set_has_one_note_on_its_axes_which_axes_resolve(sets, tmp_path, capsys, name):
    given = ["prepare", "--from", name, str(sets / name), "-o", str(tmp_path / "data")]
    assert main(given) == 0
    capsys.readouterr()
    (only,) = found(tmp_path / "data", capsys)
    assert only["kind"] == "orientation"
    assert only["sentence"].endswith("exchanged: look at the images and prepare again with --axes.")
    assert main([*given, "--axes", "SPL" if name == "micro-us" else "LPS"]) == 0
    capsys.readouterr()
    assert found(tmp_path / "data", capsys) == []


@pytest.mark.parametrize(
    ("kind", "provenance", "remedy"),
    [
        ("us-series", {}, "give frame_order and probe_side in the datalist"),
        ("nrrd", {"contours_sha256": "ab"}, "prepare again with --frame-order and --probe-side"),
        ("nifti", {}, "write the directions into the headers of image and mask"),
    ],
)
def test_the_remedy_for_unknown_axes_is_one_that_works_for_the_kind_of_files(kind, provenance, remedy):
    case = CaseFacts(Entry("a", "training", {"provenance": provenance}), assumed=True, kind=kind)
    assert next(orientation([case])).sentence.endswith(f"exchanged: {remedy}.")


def test_images_with_few_slices_are_one_finding():
    counts = {"a": 1, "b": 3, "c": 3, "d": 5}
    cases = [CaseFacts(Entry(name, "training", {}), shape=(9, 9, count)) for name, count in counts.items()]
    (one,) = few_slices(cases)
    assert one.cases == ("a", "b", "c")
    assert one.sentence.startswith("the number of slices is 1 or 3, expected 5 or more")


def test_a_patient_that_is_a_list_is_not_printed(data, capsys):
    data.cases["c3"]["patient"] = ["DOE^JOHN"]
    (one,) = found(data.save(), capsys)
    assert "has a list as patient, expected a name" in one["sentence"]
    assert "DOE" not in json.dumps(one)
