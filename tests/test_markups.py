"""Hints from markups of 3D Slicer: names, coordinate systems, curves, and files that Slicer's own writer makes."""

import json

import numpy as np
import pytest

from prostate_seg.correction.placed import placed
from prostate_seg.errors import InputError
from prostate_seg.geometry.hints import Contour, Plane, Point, Scribble
from prostate_seg.geometry.volume import Volume
from prostate_seg.reading.hints import read_hints

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])  # slice 1 at z = 0, slice 20 at z = 38
IMAGE = Volume(np.zeros((40, 40, 20), np.uint8), AFFINE)
RING_LPS = [(5, 5, 8), (25, 6, 8), (30, 20, 8), (15, 27, 8), (2, 17, 8)]  # on slice 5
FROM_LPS = np.array([-1.0, -1.0, 1.0])


def control(position, label="", **others):
    return {"label": label, "position": list(position)} | others


def markup(kind, *controls, **others):
    return {
        "type": kind,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "controlPoints": list(controls),
    } | others


def saved(folder, *markups, name="hints.mrk.json"):
    (folder / name).write_text(json.dumps({"@schema": "markups-schema-v1.0.3.json#", "markups": list(markups)}))
    return folder / name


def read(folder, *markups, name="hints.mrk.json"):
    return read_hints(saved(folder, *markups, name=name), IMAGE).items


def ring(positions=RING_LPS, **others):
    return markup("ClosedCurve", *[control(one) for one in positions], **others)


def test_5_names_in_any_case_are_3_points_and_2_planes_after_their_slices(tmp_path):
    labels = ("Inside-1", "OUTSIDE 2", "boundary", "apex_left", "Base")
    places = [(10, 12, 20), (1, 2, 20), (5, 6, 20), (10, 12, 4.4), (10, 12, 31.2)]
    found = read(tmp_path, markup("Fiducial", *map(control, places, labels)))
    assert found[:3] == (
        Point("inside", (-10.0, -12.0, 20.0)),
        Point("outside", (-1.0, -2.0, 20.0)),
        Point("boundary", (-5.0, -6.0, 20.0)),
    )
    apex, base = found[3:]
    assert (apex.end, round(apex.at_mm[2], 9)) == ("apex", 3.0)  # 4.4 mm is in slice 3, which ends at 3 mm
    assert (base.end, round(base.at_mm[2], 9)) == ("base", 33.0)  # 31.2 mm is in slice 17, from 31 to 33 mm


def test_the_same_point_in_ras_and_in_lps_is_the_same_hint(tmp_path):
    lps = read(tmp_path, markup("Fiducial", control((3, 4, 10), "inside")))
    ras = read(tmp_path, markup("Fiducial", control((-3, -4, 10), "inside"), coordinateSystem="RAS"))
    assert lps == ras == (Point("inside", (-3.0, -4.0, 10.0)),)


@pytest.mark.parametrize(
    ("label", "description", "node", "file", "side"),
    [
        ("outside", "inside", "inside", "inside", "outside"),
        ("F-1", "outside: fat", "inside", "inside", "outside"),
        ("F-1", "", "outside", "inside", "outside"),
        ("F-1", "", "", "Outside_1", "outside"),
        ("insider", "", "", "outside", "outside"),
    ],
)
def test_the_label_counts_before_description_node_and_file(label, description, node, file, side, tmp_path):
    one = markup("Fiducial", control((3, 4, 10), label, description=description), name=node)
    assert [point.side for point in read(tmp_path, one, name=f"{file}.mrk.json")] == [side]


def test_hidden_unset_and_preview_points_are_skipped(tmp_path):
    found = read(
        tmp_path,
        markup(
            "Fiducial",
            control((3, 4, 10), "inside", visibility=False),
            control("", "outside", positionStatus="undefined"),
            control((3, 4, 12), "F-3", positionStatus="preview"),
            control((3, 4, 14), "outside", visibility=True, positionStatus="defined"),
        ),
    )
    assert found == (Point("outside", (-3.0, -4.0, 14.0)),)


def test_4_markups_of_1_file_are_a_line_a_curve_2_boundary_points_and_a_contour(tmp_path):
    line = markup("Line", control((3, 4, 10), "inside-1"), control((9, 4, 10), "inside-2"))
    curve = markup(
        "Curve", *[control(one, "x") for one in [(3, 30, 10), (9, 33, 10), (20, 30, 10)]], name="outside"
    )
    edge = markup("Curve", control((1, 20, 10), "boundary-1"), control((2, 22, 10), "boundary-2"))
    scribble, stroke, first, second, contour = read(tmp_path, ring(), line, curve, edge)
    assert scribble == Scribble("inside", ((-3.0, -4.0, 10.0), (-9.0, -4.0, 10.0)))
    assert (stroke.side, len(stroke.path_mm), stroke.path_mm[10]) == ("outside", 21, (-9.0, -33.0, 10.0))
    assert [first, second] == [Point("boundary", (-1.0, -20.0, 10.0)), Point("boundary", (-2.0, -22.0, 10.0))]
    assert isinstance(contour, Contour)


def test_a_closed_curve_of_5_points_is_a_contour_of_50_on_slice_5_larger_than_its_polygon(tmp_path):
    (contour,) = read(tmp_path, ring())
    (outline,) = contour.outlines_mm
    assert len(outline) == 50
    np.testing.assert_allclose(outline[::10], RING_LPS * FROM_LPS, atol=1e-9)
    (found,) = placed(read_hints(saved(tmp_path, ring()), IMAGE), IMAGE).contours.items()
    assert found[0] == 4
    assert 473.5 < found[1].sum() < 700  # 473.5 mm2 is the area of the polygon


def test_2_closed_curves_on_1_slice_are_a_contour_with_a_hole_and_one_elsewhere_is_another(tmp_path):
    hole = ring([(12, 12, 8), (18, 12, 8), (18, 18, 8), (12, 18, 8)])
    other = ring([(x, y, 10) for x, y, _ in RING_LPS])
    first, second = read(tmp_path, ring(), other, hole)
    assert [len(first.outlines_mm), len(second.outlines_mm)] == [2, 1]
    masks = placed(read_hints(saved(tmp_path, ring(), other, hole), IMAGE), IMAGE).contours
    assert 50 < masks[5].sum() - masks[4].sum() < 65  # about a circle of radius 4.2 mm: 57 mm2
    assert not masks[4][15, 15]


WRONG = {
    "a list called F": (
        markup("Fiducial", control((1, 2, 3), "F-1")),
        "Point 1 of markup 1 .* is called 'F-1', expe",
    ),
    "baseline": (
        markup("Fiducial", control((1, 2, 3), "baseline")),
        "begins with inside, outside, boundary, apex or",
    ),
    "a plane": (markup("Plane", control((1, 2, 3), "apex")), "the type 'Plane', expected Fiducial, Line, Curve or"),
    "no markup": (7, "the type None"),
    "voxels": (
        markup("Fiducial", control((1, 2, 3), "inside"), coordinateSystem="IJK"),
        "coordinateSystem 'IJK' in",
    ),
    "inches": (
        markup("Fiducial", control((1, 2, 3), "inside"), coordinateUnits="in"),
        "in 'in', expected LPS or RAS",
    ),
    "two numbers": (
        markup("Fiducial", control((1, 2), "inside")),
        r"the position \[1, 2\], expected three numbers",
    ),
    "far away": (markup("Fiducial", control((1e300, 2, 3), "apex")), "expected three numbers of mm; set it again"),
    "a number as label": (markup("Fiducial", control((1, 2, 3), 5)), "has the label 5, expected text"),
    "controls no list": (markup("Fiducial", controlPoints={}), "has the controlPoints {}, expected a list"),
    "a control that is text": (
        markup("Fiducial", "inside"),
        "Point 1 of markup 1 .* is 'inside', expected an object",
    ),
    "an apex in the feet": (
        markup("Fiducial", control((1, 2, -300), "apex")),
        "lies at slice -149.00 of the image",
    ),
    "an apex curve": (
        markup("Curve", control((1, 2, 3), "apex")),
        "a line named apex, expected inside, outside or",
    ),
    "a curve through slices": (ring([*RING_LPS, (3, 4, 12)]), "Markup 1 .* lies at slices .* draw it on one slice"),
    "between two slices": (ring([(x, y, 9) for x, y, _ in RING_LPS]), "at slices 5.50 to 5.50 of the image"),
    "a closed scribble": (
        ring(name="outside"),
        "is a closed curve named outside, but a closed curve is the outline",
    ),
    "a curve of 2 points": (ring(RING_LPS[:2]), "is a closed curve of 2 points, expected 3 or more"),
    "all hidden": (
        markup("Fiducial", control((1, 2, 3), "inside", visibility=False)),
        "has no point that is set and",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_18_wrong_markups_are_refused_in_one_sentence(name, tmp_path):
    wrong, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, wrong)
    assert str(caught.value).endswith(".")
    assert "hints.mrk.json" in str(caught.value)


def test_markups_that_are_no_list_are_refused(tmp_path):
    (tmp_path / "m.mrk.json").write_text('{"markups": {"type": "Fiducial"}}')
    with pytest.raises(InputError, match=r"m\.mrk\.json has the markups .*, expected a list"):
        read_hints(tmp_path / "m.mrk.json", IMAGE)


@pytest.fixture
def slicer_file(tmp_path):
    """Save a markup by Slicer's own writer; returns the file and the node."""
    pytest.importorskip("slicer")
    import slicer_scene
    import vtk

    scene = slicer_scene.Scene()

    def save(kind, name, places_ras):
        node = scene.scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", name)
        for place in places_ras:
            node.AddControlPoint(vtk.vtkVector3d(*place))
        node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(str(tmp_path / f"{name} saved.mrk.json"))
        return tmp_path / f"{name} saved.mrk.json", node, lambda: storage.WriteData(node)

    return save


@pytest.mark.slicer
def test_points_saved_by_slicer_are_read_without_the_hidden_and_the_unset_one(slicer_file):
    file, node, write = slicer_file("Fiducial", "inside", [(-3, -4, 10), (-5, -6, 12), (-7, -8, 14), (-9, -9, 20)])
    node.SetNthControlPointVisibility(0, False)
    node.UnsetNthControlPointPosition(1)
    node.SetNthControlPointLabel(3, "Apex")
    assert write()
    point, apex = read_hints(file, IMAGE).items
    assert point == Point("inside", (-7.0, -8.0, 14.0))
    assert isinstance(apex, Plane)
    assert round(apex.at_mm[2], 9) == 19.0


@pytest.mark.slicer
@pytest.mark.parametrize(("kind", "name", "pieces"), [("ClosedCurve", "ring", 5), ("Curve", "outside", 4)])
def test_a_curve_saved_by_slicer_is_the_spline_that_slicer_draws_within_a_hundredth_of_a_mm(
    slicer_file, kind, name, pieces
):
    file, node, write = slicer_file(kind, name, RING_LPS * FROM_LPS)
    assert write()
    points = node.GetCurvePointsWorld()
    drawn = np.array([points.GetPoint(n) for n in range(points.GetNumberOfPoints())])
    (hint,) = read_hints(file, IMAGE).items
    ours = np.array(hint.path_mm if kind == "Curve" else hint.outlines_mm[0])
    np.testing.assert_allclose(ours[: 10 * pieces], drawn[: 10 * pieces], atol=0.01)
