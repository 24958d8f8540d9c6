"""Needles and seeds: places in mm, matching by distance, files, structure sets and Slicer markups."""

import json
import zipfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from judges import dicom_errors, study

from prostate_seg.cli import main
from prostate_seg.errors import GeometryError, InputError, OutputError, SettingsError
from prostate_seg.evaluation.metrics.things import match_things
from prostate_seg.geometry.things import Thing
from prostate_seg.phantom import make_phantom, with_implants
from prostate_seg.phantom.anatomy import gland
from prostate_seg.reading.masks import read_mask, structure_names
from prostate_seg.reading.things import read_things
from prostate_seg.writing import write
from prostate_seg.writing.dicom.structure_set import write_rtstruct
from prostate_seg.writing.formats import FORMATS
from prostate_seg.writing.request import Request
from prostate_seg.writing.roi_names import RoiNames
from prostate_seg.writing.things import write_things

ROW = {"structure": "Needle", "start_mm": [0, 0, 0], "end_mm": [0, 0, 1], "radius_mm": 1}


def needle(x=0.0, tip=0.0, **options):
    return Thing("Needle", (x, 0.0, -40.0), (x, 0.0, tip), 0.65, **options)


def seed(x, y=0.0, z=0.0):
    return Thing("Seed", (x, y, z - 2.25), (x, y, z + 2.25), 0.4)


def test_a_thing_has_centre_length_and_angle():
    one, other = needle(tip=10.0), Thing("Needle", (0, 0, 0), (0, 10, 10), 0.65)
    assert (one.centre_mm, one.length_mm) == ((0.0, 0.0, -15.0), 50.0)
    assert one.angle_to_deg(other) == pytest.approx(45.0)
    assert one.angle_to_deg(replace(other, end_mm=(0, 0, 0))) is None
    turned = np.array([[0, -1, 0, 5.0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert needle(x=2.0).moved(turned).end_mm == (5.0, 2.0, 0.0)


@pytest.mark.parametrize("change", [{"radius_mm": 0.0}, {"score": 1.5}, {"end_mm": (0.0, 0.0, float("nan"))}])
def test_impossible_numbers_are_refused(change):
    with pytest.raises(GeometryError, match="A Needle has"):
        replace(needle(), **change)


def test_needles_are_matched_by_their_tips_within_1_2_and_3_mm():
    truth = [needle(0.0), needle(10.0), needle(20.0)]
    found = [needle(0.0, tip=0.5), needle(10.0, tip=2.5), needle(40.0)]
    near, middle, far = match_things(found, truth)
    assert [(len(one.errors_mm), one.missed, one.invented) for one in (near, middle, far)] == [
        (1, 2, 2),
        (1, 2, 2),
        (2, 1, 1),
    ]
    assert near.recognition_quality == pytest.approx(1 / 3)
    assert far.recognition_quality == pytest.approx(2 / 3)
    assert far.median_error_mm == 1.5
    assert far.angles_deg == (0.0, 0.0)


def test_seeds_are_matched_one_to_one_so_that_no_match_is_given_up():
    truth, found = [seed(0.0), seed(1.5)], [seed(1.0), seed(3.4)]
    (one,) = match_things(found, truth, (2.0,))
    assert sorted(round(error, 1) for error in one.errors_mm) == [1.0, 1.9]
    assert (one.missed, one.invented) == (0, 0)


def test_nothing_on_both_sides_has_no_quality_and_counts_add_up():
    (nothing,) = match_things([], [], (2.0,))
    (missed,) = match_things([], [seed(0.0)], (2.0,))
    assert nothing.recognition_quality is None
    assert (nothing + missed).recognition_quality == 0.0


def test_things_come_back_from_their_file(tmp_path):
    things = (needle(1.5, score=0.25), seed(3.0, 4.0, 5.0))
    write_things(tmp_path / "things.json", things)
    assert read_things(tmp_path / "things.json") == things


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": "LPS mm"}, "has the space 'LPS mm', expected 'RAS mm'"),
        ({"things": 5}, "holds no list of at most 10000 things"),
        ({"things": [ROW | {"start_mm": [0, 0], "end_mm": [0, 0, 1, 2]}]}, "no two ends"),
        ({"things": [ROW | {"structure": "../../evil"}]}, "is not valid: A thing is named"),
        ({"things": [5]}, "Thing 1 of things.json has 5, expected end_mm"),
        ({"things": [{"structure": "Needle"}]}, r"Thing 1 of things.json has"),
        (
            {"things": [{"structure": "", "start_mm": [0, 0, 0], "end_mm": [0, 0, 1], "radius_mm": 1}]},
            "is not valid: A thing is named ''",
        ),
        ({"things": [{"structure": "N", "start_mm": [0, 0], "end_mm": [0, 0, 1], "radius_mm": 1}]}, "no two ends"),
        (
            {"things": [{"structure": "N", "start_mm": [0, 0, 0], "end_mm": [0, 0, 1], "radius_mm": 0}]},
            "is not valid",
        ),
    ],
)
def test_a_damaged_file_gives_one_sentence(tmp_path, change, message):
    (tmp_path / "things.json").write_text(json.dumps({"space": "RAS mm", "things": []} | change))
    with pytest.raises(InputError, match=message):
        read_things(tmp_path / "things.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with two needles and three seeds, in the directions of its own grid."""
    made = study(tmp_path_factory.mktemp("made"), "series")
    affine = made.contoured.volume.affine

    def at(i, j, k):
        return tuple(map(float, affine[:3, :3] @ (i, j, k) + affine[:3, 3]))

    things = [Thing("Needle", at(30 + 8 * n, 30, 0), at(31 + 8 * n, 30, 7.5), 0.65) for n in range(2)]
    things += [Thing("Seed", at(40, 20 + 5 * n, 4), at(40, 20 + 5 * n, 5), 0.4) for n in range(3)]
    made.contoured = replace(made.contoured, ctv=replace(made.contoured.ctv, things=tuple(things)))
    return made


def test_a_structure_set_holds_needles_as_open_lines_and_seeds_as_points(made, tmp_path):
    write_rtstruct(tmp_path / "rt.dcm", made.contoured)
    assert dicom_errors(tmp_path / "rt.dcm") == []
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    names = [str(roi.ROIName) for roi in dataset.StructureSetROISequence]
    assert names == ["CTV", "urethra", "Needle 1", "Needle 2", "Seeds"]
    kinds = [{str(c.ContourGeometricType) for c in roi.ContourSequence} for roi in dataset.ROIContourSequence[2:]]
    assert kinds == [{"OPEN_NONPLANAR"}, {"OPEN_NONPLANAR"}, {"POINT"}]
    assert dataset.RTROIObservationsSequence[2].RTROIInterpretedType == "BRACHY_CHANNEL"
    line = np.reshape([float(v) for v in dataset.ROIContourSequence[2].ContourSequence[0].ContourData], (2, 3))
    expected = np.array([made.contoured.ctv.things[0].start_mm, made.contoured.ctv.things[0].end_mm]) * (-1, -1, 1)
    assert np.abs(line - expected).max() < 0.01
    assert len(dataset.ROIContourSequence[4].ContourSequence) == 3
    assert structure_names(tmp_path / "rt.dcm") == ["CTV", "urethra"]


def test_a_segmentation_has_a_segment_for_each_needle_and_seed_with_their_codes(made, tmp_path):
    path = tmp_path / FORMATS["dicom-seg-things"].file
    FORMATS["dicom-seg-things"].write(path, Request(made.contoured, ("dicom-seg-things",)))
    assert dicom_errors(path) == []
    segments = pydicom.dcmread(path).SegmentSequence
    assert [str(one.SegmentLabel) for one in segments] == ["Needle 1", "Needle 2", "Seed 1", "Seed 2", "Seed 3"]
    codes = [str(one.SegmentedPropertyTypeCodeSequence[0].CodeValue) for one in segments]
    assert codes == ["79068005"] * 2 + ["228748004"] * 3
    for name, thing in zip(structure_names(path), made.contoured.ctv.things, strict=True):
        found = read_mask(path, structure=name)
        centre = np.argwhere(found.mask()).mean(axis=0)
        expected = np.linalg.inv(found.affine) @ [*thing.centre_mm, 1.0]
        assert np.abs(centre - expected[:3]).max() < 1.0  # voxel
    empty = replace(made.contoured, ctv=replace(made.contoured.ctv, things=()))
    with pytest.raises(
        OutputError, match=r"There is no needle or seed to put into things_seg\.dcm; leave it out\."
    ):
        FORMATS["dicom-seg-things"].write(path, Request(empty, ("dicom-seg-things",)))


def test_a_needle_that_leaves_the_image_is_refused(made):
    gone = Thing("Needle", (0.0, 0.0, 0.0), (0.0, 0.0, 900.0), 0.65)
    with pytest.raises(GeometryError, match=r"Needle 1 leaves the image by .* mm, expected at most 1 mm"):
        replace(made.contoured, ctv=replace(made.contoured.ctv, things=(gone,)))


def test_a_format_that_would_lose_needles_refuses_them(made, tmp_path):
    ctv = replace(made.contoured.ctv, structures={})
    for name, options in (("a.seg.nrrd", {}), ("a.nii.gz", {}), ("x", {"format": "dicom-seg"})):
        path = tmp_path / (name if name != "x" else FORMATS["dicom-seg"].file)
        with pytest.raises(OutputError, match="would lose needles or seeds"):
            write(ctv, path, **options, **({"image": made.contoured.volume} if options else {}))
    assert list(tmp_path.iterdir()) == []


def test_an_roi_gets_the_clinics_name_and_never_that_of_a_structure(made, tmp_path):
    write_rtstruct(tmp_path / "rt.dcm", made.contoured, names=RoiNames({"needle": "Ndl", "seed": "Source"}))
    rois = pydicom.dcmread(tmp_path / "rt.dcm").StructureSetROISequence
    assert [str(roi.ROIName) for roi in rois][2:] == ["Ndl 1", "Ndl 2", "Sources"]
    named = replace(made.contoured, structures={"Seeds": made.contoured.structures["urethra"]})
    with pytest.raises(SettingsError, match="There is a structure called Seeds already"):
        write_rtstruct(tmp_path / "x.dcm", named)
    assert not (tmp_path / "x.dcm").exists()


def test_other_places_give_another_uid(made, tmp_path):
    moved = [replace(one, radius_mm=one.radius_mm + 0.1) for one in made.contoured.ctv.things]
    other = replace(made.contoured, ctv=replace(made.contoured.ctv, things=tuple(moved)))
    assert made.contoured.uid("x") != other.uid("x")


@pytest.mark.slicer
def test_slicer_opens_needles_as_lines_and_seeds_as_points(made, tmp_path):
    from slicer_scene import Scene

    FORMATS["slicer"].write(tmp_path / "scene.mrb", Request(made.contoured, ("slicer",)))
    with zipfile.ZipFile(tmp_path / "scene.mrb") as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"scene"}
    scene = Scene().open(tmp_path / "scene.mrb")
    line, seeds = scene.node("Needle 1"), scene.node("Seeds")
    assert line.GetClassName() == "vtkMRMLMarkupsLineNode"
    tip = [0.0, 0.0, 0.0]
    line.GetNthControlPointPosition(1, tip)
    assert np.abs(np.subtract(tip, made.contoured.ctv.things[0].end_mm)).max() < 0.01
    assert seeds.GetNumberOfControlPoints() == 3


def test_the_needles_of_a_phantom_are_bright_where_the_truth_says(tmp_path):
    settings = with_implants(11, needles=8, seeds=0)
    phantom, plain = make_phantom(11, settings=settings), make_phantom(11, settings=replace(settings, implants=()))
    needles = [one for one in phantom.things if one.structure == "Needle"]
    assert len(needles) == 8
    brighter = phantom.image.array.astype(int) - plain.image.array
    shape = phantom.image.array.shape
    inverse = np.linalg.inv(phantom.image.affine)
    means, beside = [], []
    for one in needles:
        axis = np.linspace(one.start_mm, one.end_mm, 200) @ inverse[:3, :3].T + inverse[:3, 3]
        voxels = np.unique(np.rint(axis).astype(int), axis=0)
        voxels = voxels[((voxels >= 0) & (voxels < shape)).all(axis=1)]
        voxels = voxels[phantom.structures["ctv"][tuple(voxels.T)]]
        means.append(brighter[tuple(voxels.T)].mean())
        away = voxels + np.array([round(4 / phantom.image.spacing_mm[0]), 0, 0])  # 4 mm to the side
        beside.append(brighter[tuple(away.clip(0, np.array(shape) - 1).T)].mean())
    assert np.median(means) > 15
    assert np.median(means) > 5 * abs(np.median(beside))


def test_implants_are_drawn_by_the_seed_inside_the_gland_and_as_many_as_asked():
    assert with_implants(4) == with_implants(4)
    settings = with_implants(2, needles=8)
    assert Counter(implant.structure for implant in settings.implants) == {"Needle": 8}
    anatomy = settings.anatomy
    for one in settings.implants:
        x, y = (np.array([[part]], np.float32) for part in one.end[:2])
        assert gland(anatomy, x, y, np.float32(one.end[2]))[0, 0] < 1
    plain = make_phantom(4, shape=(40, 30, 8), spacing_mm=(2.0, 2.0, 4.0)).things
    assert {one.structure for one in plain} <= {"Calcification"}


def test_calcifications_lie_where_the_image_is_bright():
    """Their centres are brighter by 15 of 255 than the places opposite, in the mean of 20 phantoms."""
    brighter = []
    for number in range(20):
        made = make_phantom(number, shape=(120, 90, 20), spacing_mm=(0.6, 0.6, 2.5))
        ctv = made.structures["ctv"]
        for one in made.things:
            at = np.linalg.inv(made.image.affine) @ [*one.centre_mm, 1.0]
            i, j, k = np.rint(at[:3]).astype(int)
            if ctv[i, j, k]:
                here, opposite = (
                    made.image.array[n - 1 : n + 2, j - 1 : j + 2, k].mean() for n in (i, ctv.shape[0] - 1 - i)
                )
                brighter.append(here - opposite)
    assert len(brighter) > 15
    assert np.mean(brighter) > 15


def test_the_command_writes_the_truth_and_evaluates_it_against_itself(tmp_path, capsys):
    command = ["phantom", str(tmp_path), "--seed", "4", "--structures", "--implants"]
    assert main(command) == 0
    things = read_things(tmp_path / "labels" / "phantom4.things.json")
    assert things
    (tmp_path / "found").mkdir()
    for name in ("phantom4.seg.nrrd", "phantom4.things.json"):
        (tmp_path / "found" / name).write_bytes((tmp_path / "labels" / name).read_bytes())
    pair = [str(tmp_path / "found"), str(tmp_path / "labels")]
    assert main(["evaluate", *pair, "--structures", "all", "-o", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out/structures.json").read_text())["things"]
    assert sum(rows[0]["matched"] for rows in content.values()) == len(things)
    assert {row["recognition_quality"] for rows in content.values() for row in rows} == {1.0}
