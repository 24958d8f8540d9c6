"""Needles and seeds for 3D Slicer: a segment for each, lines for known directions; and directions in files."""

import json
from dataclasses import replace

import numpy as np
import pytest
from judges import study

from prostate_seg.errors import InputError, OutputError
from prostate_seg.geometry.things import Thing, numbered, voxels_of
from prostate_seg.geometry.volume import Segmentation, Volume, swap_ras_lps
from prostate_seg.inference.grouping import things_in
from prostate_seg.reading.masks import read_segments
from prostate_seg.reading.panoptic import SEGMENTS
from prostate_seg.reading.things import read_things
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.formats import FORMATS
from prostate_seg.writing.nrrd import layers_of_things
from prostate_seg.writing.panoptic import write_panoptic
from prostate_seg.writing.request import Request
from prostate_seg.writing.things import lines, points, write_things

SHAPE, AFFINE = (16, 12, 10), np.diag([-1.0, -1.0, 1.5, 1.0])
CROSSING = (
    Thing("Needle", (-3.0, -5.0, 0.0), (-3.0, -5.0, 12.0), 0.9),
    Thing("Needle", (-1.0, -5.0, 6.0), (-9.0, -5.0, 6.0), 0.9),  # crosses the first
    Thing("Seed", (-12.0, -8.0, 3.0), (-12.0, -8.0, 7.5), 0.4),
    Thing("Seed", (-12.0, -3.0, 3.0), (-12.0, -3.0, 7.5), 0.4, score=0.5, oriented=False),
)


def request(things, affine=AFFINE, phantom_trained=()):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:14, 2:10, 1:9] = 1
    ctv = Segmentation(labels, affine, things=things, phantom_trained=phantom_trained)
    return Request(ContouredVolume(Volume(labels, affine), ctv, Author("model", "1")), ())


def written(folder, *things, **options):
    path = folder / FORMATS["seg-nrrd-things"].file
    FORMATS["seg-nrrd-things"].write(path, request(things, **options))
    return path


def header(path):
    lines = path.read_bytes().split(b"\n\n")[0].decode().splitlines()
    return dict(line.split(":=", 1) for line in lines if ":=" in line)


def test_every_instance_is_a_segment_with_all_its_voxels_though_two_cross(tmp_path):
    found, affine = read_segments(written(tmp_path, *CROSSING))
    assert list(found) == ["Needle 1", "Needle 2", "Seed 1", "Seed 2"]
    assert np.allclose(affine, AFFINE)
    for name, thing in numbered(CROSSING):
        expected = np.zeros(SHAPE, bool)
        expected[tuple(voxels_of(thing, AFFINE, SHAPE).T)] = True
        assert np.array_equal(found[name], expected)
    assert np.count_nonzero(found["Needle 1"] & found["Needle 2"]) == 1  # column 3, row 5, slice 4


def test_segments_have_the_colour_and_terms_of_their_structure_and_the_second_needle_a_layer_of_its_own(tmp_path):
    fields = header(written(tmp_path, *CROSSING, phantom_trained=("Needle",)))
    assert [fields[f"Segment{n}_Layer"] for n in range(4)] == ["0", "1", "0", "0"]
    assert [fields[f"Segment{n}_LabelValue"] for n in range(4)] == ["1", "1", "2", "3"]
    assert len({fields[f"Segment{n}_ID"] for n in range(4)}) == 4
    assert fields["Segment1_Color"] == "0 0.8 1"
    assert "SCT^79068005^Needle" in fields["Segment1_Tags"]
    assert "SCT^228748004^Brachytherapy implant" in fields["Segment2_Tags"]
    assert [":phantoms|" in fields[f"Segment{n}_Tags"] for n in range(4)] == [True, True, False, False]


def test_a_layer_holds_255_instances_and_the_256th_begins_another(tmp_path):
    wide = np.diag([-0.5, -0.5, 0.5, 1.0])
    at = np.argwhere(np.ones(SHAPE))[:300]
    things = [Thing("Calcification", *[tuple(map(float, wide[:3, :3] @ n))] * 2, 0.1) for n in at]
    layers, segments = layers_of_things(request(tuple(things), affine=wide).contoured.ctv)
    assert [int(layer.max()) for layer in layers] == [255, 45]
    assert (segments[255].value, segments[255].layer, segments[255].number) == (1, 1, 256)
    found, _ = read_segments(written(tmp_path, *things, affine=wide))
    assert [int(mask.sum()) for mask in found.values()] == [1] * 300


def test_a_file_without_things_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"no needle or seed to put into things\.seg\.nrrd; leave it out\."):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_directions_are_unit_vectors_and_come_back_through_both_files(tmp_path):
    tilted = Thing("Seed", (-12.0, -8.0, 3.0), (-12.0, -5.3, 6.6), 0.4)
    assert tilted.direction == pytest.approx((0.0, 0.6, 0.8))
    things = (*CROSSING, tilted)
    write_things(tmp_path / "things.json", things)
    write_panoptic(tmp_path, request(things).contoured)
    for name in ("things.json", SEGMENTS):
        assert read_things(tmp_path / name) == things
        rows = json.loads((tmp_path / name).read_text())["things"]
        assert [row["direction"] for row in rows] == [
            [0, 0, 1], [-1, 0, 0], [0, 0, 1], None, [0, 0.6, 0.8],
        ]  # fmt: skip
    assert CROSSING[3].direction is None
    assert CROSSING[3].angle_to_deg(tilted) is None


def test_a_file_of_an_earlier_version_has_no_directions_and_its_ends_show_them(tmp_path):
    write_things(tmp_path / "things.json", CROSSING[:1])
    content = json.loads((tmp_path / "things.json").read_text())
    del content["things"][0]["direction"]
    (tmp_path / "things.json").write_text(json.dumps(content))
    assert read_things(tmp_path / "things.json") == CROSSING[:1]


@pytest.mark.parametrize("direction", [[0, 0, 2], [0, 0, -1], [1, 0, 0], [0, 1], "up", [True, 0, 0], [0, 0, "1"]])
def test_a_direction_that_is_not_along_the_ends_is_refused(tmp_path, direction):
    write_things(tmp_path / "things.json", CROSSING[:1])
    content = json.loads((tmp_path / "things.json").read_text())
    content["things"][0]["direction"] = direction
    (tmp_path / "things.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"Thing 1 of things\.json has the direction .*, expected the unit vector"):
        read_things(tmp_path / "things.json")


def test_a_seed_is_oriented_if_its_cross_sections_span_most_of_it():
    """Cross-sections in slices of 1 mm: 5 of them span 4 mm of 4.5, 3 of them 2 mm; one slice of 5 mm nothing."""
    away = np.hypot(*np.indices((40, 40)) - 20) * 0.6
    for step, numbers, oriented in ((1.0, range(8, 13), True), (1.0, range(9, 12), False), (5.0, [3], False)):
        maps = np.zeros((3, 40, 40, 20), np.float32)
        maps[1, ..., numbers] = np.exp(-(away**2) / (2 * 0.8**2))
        (found,) = things_in(maps, np.diag([0.6, 0.6, step, 1.0]), ("Needle", "Seed", "Calcification"))
        assert (found.structure, found.oriented) == ("Seed", oriented)


def test_seeds_of_known_direction_are_lines_with_their_ends_in_lps_and_all_are_points():
    found = {one.name: one.content for one in lines(request(CROSSING).contoured.ctv)}
    assert list(found) == ["Needle 1", "Needle 2", "Seed 1"]
    (markup,) = json.loads(found["Seed 1"])["markups"]
    ends = np.array([point["position"] for point in markup["controlPoints"]]) @ swap_ras_lps(np.eye(4))[:3, :3]
    assert replace(CROSSING[2], start_mm=tuple(ends[0]), end_mm=tuple(ends[1])) == CROSSING[2]
    assert [point["label"] for point in markup["controlPoints"]] == ["end 1", "end 2"]
    assert markup["display"]["propertiesLabelVisibility"] is False
    (one,) = points(request(CROSSING).contoured.ctv)
    assert (one.name, len(json.loads(one.content)["markups"][0]["controlPoints"])) == ("Seeds", 2)


@pytest.mark.slicer
def test_slicer_shows_each_instance_with_its_voxels_terms_and_colour(tmp_path):
    from slicer_scene import Scene, segment_voxels, terminology

    node = Scene().load_segmentation(written(tmp_path, *CROSSING))
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 4
    for index, (name, thing) in enumerate(numbered(CROSSING)):
        segment = segmentation.GetNthSegment(index)
        assert segment.GetName() == name
        expected = voxels_of(thing, AFFINE, SHAPE) @ AFFINE[:3, :3]
        found = segment_voxels(node, index)
        assert sorted(map(tuple, found.round(3))) == sorted(map(tuple, expected.round(3)))
        assert terminology(node, index)[1] == ("79068005" if thing.structure == "Needle" else "228748004")
    assert np.round(np.multiply(segmentation.GetNthSegment(0).GetColor(), 255)).tolist() == [0, 204, 255]


@pytest.mark.slicer
def test_slicer_opens_an_oriented_seed_as_a_line_of_its_length(tmp_path):
    from slicer_scene import Scene

    made = study(tmp_path, "series").contoured
    centre = made.volume.affine @ [40, 30, 4, 1]
    x, y, z = map(float, centre[:3])
    seeds = (
        Thing("Seed", (x, y, z), (x, y + 2.7, z + 3.6), 0.4),
        Thing("Seed", (x, y, z), (x, y, z + 4), 0.4, oriented=False),
    )
    ctv = replace(made.ctv, things=seeds)
    FORMATS["slicer"].write(tmp_path / "scene.mrb", Request(replace(made, ctv=ctv), ("slicer",)))
    scene = Scene().open(tmp_path / "scene.mrb")
    ends = [[0.0] * 3, [0.0] * 3]
    for number, end in enumerate(ends):
        scene.node("Seed 1").GetNthControlPointPosition(number, end)
    assert np.subtract(ends[1], ends[0]) == pytest.approx([0, 2.7, 3.6], abs=1e-3)
    assert not scene.node("Seed 1").GetDisplayNode().GetPropertiesLabelVisibility()
    assert scene.node("Seed 2") is None
    assert scene.node("Seeds").GetNumberOfControlPoints() == 2
