"""Hints as JSON: the round trip, slices by their number, the published schema, and what is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jsonschema import Draft202012Validator

from prostate_seg.correction.placed import placed
from prostate_seg.errors import GeometryError, InputError, ProstateSegError
from prostate_seg.geometry.hints import Contour, Hints, Plane, Point, Scribble
from prostate_seg.geometry.hints_json import hints_as_json, hints_of_json
from prostate_seg.geometry.outlines import outlines
from prostate_seg.geometry.slice_hints import contour_of
from prostate_seg.geometry.volume import Volume
from prostate_seg.writing.hints import write_hints

TURN = np.array([[0.8, -0.6, 0, 5], [0.6, 0.8, 0, -7], [0, 0, 1, 30], [0, 0, 0, 1]])
DOWN = np.diag([-0.5, -0.7, -2.5, 1.0])  # slice 1 is the most superior one
UP = np.diag([-0.5, -0.7, 2.5, 1.0])
SIDEWAYS = np.array([[-0.5, 0, 0, 9], [0, 0, -0.7, 8], [0, 2.5, 0, 7], [0, 0, 0, 1]])  # slices along j
AFFINES = {"up": UP, "down": DOWN, "turned": TURN @ UP, "sideways": SIDEWAYS}

mm = st.floats(-99_999, 99_999)
point = st.tuples(mm, mm, mm)
paths = st.lists(point, min_size=1, max_size=4).map(tuple)
outline = st.lists(point, min_size=3, max_size=5).map(tuple)
hint = st.one_of(
    st.builds(Plane, st.sampled_from(["apex", "base"]), point),
    st.builds(Point, st.sampled_from(["inside", "outside", "boundary"]), point),
    st.builds(Scribble, st.sampled_from(["inside", "outside"]), paths, st.floats(0, 50)),
    st.builds(Contour, point, st.lists(outline, max_size=3).map(tuple)),
)


def image_of(affine, shape=(9, 8, 6)):
    return Volume(np.zeros(shape, np.uint8), affine)


def content(*hints, **others):
    return {"space": "RAS mm", "hints": list(hints)} | others


@pytest.fixture(scope="module")
def schema(repository):
    found = json.loads((repository / "docs" / "hints.schema.json").read_text())
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


@settings(max_examples=60)
@given(items=st.lists(hint, max_size=6).map(tuple), digest=st.sampled_from(["", "0123456789abcdef" * 4]))
def test_any_hints_come_back_equal_from_a_file_that_fits_the_schema(items, digest, schema, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "hints.json"
    write_hints(file, Hints(items, digest))
    text = json.loads(file.read_text())
    schema.validate(text)
    assert hints_of_json(text, image_of(UP)) == Hints(items, digest)
    assert text == hints_as_json(Hints(items, digest))


@pytest.mark.parametrize(
    ("affine", "apex_z", "base_z"), [("up", 1.25, 8.75), ("down", -3.75, -11.25), ("turned", 31.25, 38.75)]
)
def test_planes_by_slices_2_and_4_lie_half_a_slice_of_2_5_mm_beyond_their_centres(affine, apex_z, base_z):
    image = image_of(AFFINES[affine])
    if affine == "down":  # slice 2 is above slice 4
        rows = [{"type": "plane", "end": "base", "slice": 2}, {"type": "plane", "end": "apex", "slice": 4}]
        expected = {"base": -1.25, "apex": -8.75}
    else:
        rows = [{"type": "plane", "end": "apex", "slice": 2}, {"type": "plane", "end": "base", "slice": 4}]
        expected = {"apex": apex_z, "base": base_z}
    hints = hints_of_json(content(*rows), image)
    assert {one.end: round(one.at_mm[2], 9) for one in hints.items} == expected
    assert placed(hints, image).empty_slices().tolist() == [True, False, False, False, True, True]


def test_a_contour_by_slice_3_lies_at_its_centre_5_mm_above_slice_1():
    square = [[0.0, 0.0, 5.0], [-2.0, 0.0, 5.0], [-2.0, -2.1, 5.0]]
    image = image_of(UP)
    (found,) = hints_of_json(content({"type": "contour", "slice": 3, "outlines_mm": [square]}), image).items
    assert found.at_mm[2] == 5.0
    assert list(placed(Hints((found,)), image).contours) == [2]


@settings(max_examples=60)
@given(mask=arrays(bool, (9, 8)), name=st.sampled_from(sorted(AFFINES)))
def test_the_contour_of_any_mask_with_holes_and_islands_encloses_exactly_its_voxels(mask, name):
    shape = (9, 6, 8) if name == "sideways" else (9, 8, 6)
    image = image_of(AFFINES[name], shape)
    hints = Hints((contour_of(image, 4, mask),))
    again = hints_of_json(json.loads(json.dumps(hints_as_json(hints))), image)
    (found,) = placed(again, image).contours.items()
    assert found[0] == 4
    np.testing.assert_array_equal(found[1], mask)


def test_the_example_of_the_documentation_fits_the_schema_and_an_image_of_14_slices(schema, repository):
    page = (repository / "docs" / "hints.md").read_text()
    example = json.loads(page.split("```json")[1].split("```")[0])
    schema.validate(example)
    image = image_of(np.diag([-0.5, -0.5, 4.0, 1.0]), (120, 120, 14))
    on_grid = placed(hints_of_json(example, image), image)
    assert on_grid.ends == {"apex": pytest.approx(0.5), "base": pytest.approx(11.5)}
    assert list(on_grid.contours) == [6]
    assert on_grid.contours[6].sum() == pytest.approx(40 * 40, rel=0.06)  # 20 x 20 mm


def test_a_ring_of_two_islands_with_a_hole_each_has_4_outlines():
    mask = np.zeros((12, 8), bool)
    mask[1:5, 1:6] = mask[7:11, 1:6] = True
    mask[2:4, 3] = mask[8, 2:4] = False
    assert len(outlines(mask)) == 4


POINT = {"type": "point", "side": "inside", "at_mm": [0, 0, 0]}
WRONG = {
    "no dictionary": ([POINT], r"The content is \[.*, expected an object with the entries space and hints"),
    "an unknown entry": (content(POINT, version=1), r"\['hints', 'space', 'version'\], expected space, hints and"),
    "another space": (content(POINT) | {"space": "LPS mm"}, "the space 'LPS mm', expected 'RAS mm'"),
    "a short digest": (content(POINT, image_sha256="12ab"), "image_sha256 '12ab', expected 64 hexadecimal digits"),
    "hints no list": (content() | {"hints": POINT}, "The hints are .*, expected a list"),
    "a number as hint": (content(POINT, 5), "Hint 2 is 5, expected an object with a type"),
    "an unknown type": (content(POINT | {"type": "box"}), "Hint 1 has the type 'box', expected plane or point or"),
    "no type": (content({"end": "apex"}), "Hint 1 has the type None"),
    "no end": (
        content(POINT, POINT, {"type": "plane", "slice": 2}),
        r"Hint 3 \(plane\) has the entries \['slice'\], expected end and at_mm or slice beside type",
    ),
    "slice and place": (
        content({"type": "plane", "end": "apex", "slice": 2, "at_mm": [0, 0, 0]}),
        "expected end and at_mm or slice",
    ),
    "a point by slice": (
        content({"type": "point", "side": "inside", "slice": 2}),
        "expected side and at_mm beside",
    ),
    "a colour": (
        content({"type": "scribble", "side": "inside", "path_mm": [[0, 0, 0]], "colour": 1}),
        "expected path_mm and side, and optionally radius_mm beside type",
    ),
    "a wrong end": (
        content({"type": "plane", "end": "top", "slice": 2}),
        "A plane is 'top', expected apex or base",
    ),
    "slice 0": (content({"type": "plane", "end": "apex", "slice": 0}), "the slice is 0, .* from 1 to 6"),
    "slice 7": (
        content({"type": "contour", "slice": 7, "outlines_mm": []}),
        "Hint 1 .* slice is 7, .* from 1 to 6",
    ),
    "slice true": (content({"type": "plane", "end": "apex", "slice": True}), "the slice is True, expected a whole"),
    "two coordinates": (content(POINT | {"at_mm": [0, 0]}), r"Hint 1 \(point\) is not valid: A point has points"),
    "a text as place": (content(POINT | {"at_mm": "0 0 0"}), r"the at_mm '0 0 0', expected a point \[x, y, z\]"),
    "true as x": (content(POINT | {"at_mm": [True, 0, 0]}), r"expected a point \[x, y, z\] in RAS mm"),
    "NaN": (content(POINT | {"at_mm": [math.nan, 0, 0]}), "no number of mm in the patient"),
    "an integer of 400 digits": (content(POINT | {"at_mm": [10**400, 0, 0]}), "expected a point"),
    "an outline of points": (
        content({"type": "contour", "slice": 2, "outlines_mm": [[0, 0, 0]]}),
        "expected a list of outlines, each a list of points",
    ),
    "two points an outline": (
        content({"type": "contour", "slice": 2, "outlines_mm": [[[0, 0, 0], [1, 0, 0]]]}),
        "expected 3 to 20000 points",
    ),
    "a wide brush": (
        content({"type": "scribble", "side": "inside", "path_mm": [[0, 0, 0]], "radius_mm": 51}),
        "a radius of 51 mm, expected 0 to 50 mm",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_24_wrong_contents_are_refused_in_one_sentence_with_the_number_of_the_hint(name, schema):
    wrong, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        hints_of_json(wrong, image_of(UP))
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 300
    if name not in ("slice 7", "NaN"):  # a schema knows no image, and JSON no NaN
        assert not schema.is_valid(wrong)


def test_1001_hints_are_refused_with_the_remedy():
    with pytest.raises(GeometryError, match="1001 hints were given, expected at most 1000; draw contours"):
        hints_of_json(content(*[POINT] * 1001), image_of(UP))


@settings(max_examples=150)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["plane", "apex", "RAS mm", ""]),
        lambda part: (
            st.lists(part, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "end", "slice", "at_mm", "side", "path_mm", "outlines_mm", "hints", "space"]
                ),
                part,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_hints_or_a_sentence_and_never_another_error(value):
    for wrong in (value, content(value), content({"type": "plane", "end": "apex", "at_mm": value})):
        try:
            hints_of_json(wrong, image_of(UP))
        except ProstateSegError as error:
            assert str(error).endswith(".")  # noqa: PT017 - the one error that is meant
