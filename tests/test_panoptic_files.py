"""Panoptic files: a map of segments and segments.json, from which every structure comes back voxel for voxel."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prostate_seg.errors import InputError, OutputError
from prostate_seg.geometry.things import Thing, voxels_of
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.reading.masks import read_mask, read_segments, structure_names
from prostate_seg.reading.panoptic import MAP, SEGMENTS
from prostate_seg.reading.things import read_things
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.panoptic import Segment, panoptic_map, write_panoptic

AFFINE = np.diag([0.5, 0.5, 2.0, 1.0])


def contoured(structures, phantom_trained=()):
    """A CTV of 4 x 4 x 2 voxels of 0.5 x 0.5 x 2 mm, and structures."""
    labels = np.zeros((8, 8, 4), np.uint8)
    labels[2:6, 2:6, 1:3] = 1
    volume = Volume(np.full(labels.shape, 9, np.uint8), AFFINE)
    ctv = Segmentation(labels, AFFINE, phantom_trained=phantom_trained)
    return ContouredVolume(volume, ctv, Author("model", "1"), structures)


def box(*bounds):
    mask = np.zeros((8, 8, 4), bool)
    mask[tuple(slice(*bound) for bound in bounds)] = True
    return mask


def test_a_urethra_inside_the_ctv_is_a_segment_of_its_own_that_also_counts_for_the_ctv(tmp_path):
    urethra = box((3, 5), (3, 5), (1, 3))
    write_panoptic(tmp_path, contoured({"Urethra": urethra}, ("Urethra",)))
    document = json.loads((tmp_path / SEGMENTS).read_text())
    ctv, inside = document["annotations"][0]["segments_info"]
    assert (ctv["category_id"], ctv["also"], ctv["area"], ctv["volume_ml"]) == (1, [], 24, 0.012)
    assert (inside["category_id"], inside["also"], inside["area"]) == (7, [1], 8)
    assert inside["bbox"] == [3, 3, 1, 2, 2, 2]
    assert inside["centroid_ras_mm"] == [1.75, 1.75, 3.0]
    rows = {row["name"]: row for row in document["categories"]}
    assert (rows["Urethra"]["supercategory"], rows["Urethra"]["isthing"]) == ("CTV", 0)
    assert rows["Urethra"]["remark"].startswith("phantom-trained")
    assert "remark" not in rows["CTV"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_every_structure_comes_back_voxel_for_voxel_however_they_overlap(tmp_path_factory, seed, count):
    rng = np.random.default_rng(seed)
    structures = {f"part {n}": rng.random((8, 8, 4)) < rng.uniform(0.05, 0.9) for n in range(count)}
    folder = tmp_path_factory.mktemp("panoptic")
    made = contoured(structures)
    write_panoptic(folder, made)
    found, affine = read_segments(folder / MAP)
    assert np.allclose(affine, AFFINE)
    assert list(found) == ["CTV", *structures]
    for name, mask in made.masks.items():
        assert np.array_equal(found[name], mask)


def test_a_map_without_background_begins_at_one():
    labels, segments = panoptic_map({"all": np.ones((2, 2, 2), bool)})
    assert (labels == 1).all()
    assert segments == [Segment(1, ("all",))]


def test_a_structure_of_a_map_is_read_by_its_name(tmp_path):
    urethra = box((3, 5), (3, 5), (1, 3))
    write_panoptic(tmp_path, contoured({"Urethra": urethra}))
    assert structure_names(tmp_path / MAP) == ["CTV", "Urethra"]
    assert np.array_equal(read_mask(tmp_path / MAP, structure="urethra").mask(), urethra)
    assert int(read_mask(tmp_path / MAP).mask().sum()) == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.pop("categories"), r"does not describe it \(KeyError\)"),
        (
            lambda document: document["annotations"][0]["segments_info"].pop(),
            r"segments \[2\], which are not listed",
        ),
        (lambda document: document["categories"].pop(), r"of the categories \[7\], which are not listed"),
        (lambda document: document["categories"][1].update(name="CTV"), "two categories have one name"),
    ],
)
def test_a_file_that_does_not_describe_its_map_is_refused(tmp_path, change, message):
    write_panoptic(tmp_path, contoured({"Urethra": box((3, 5), (3, 5), (1, 3))}))
    document = json.loads((tmp_path / SEGMENTS).read_text())
    change(document)
    (tmp_path / SEGMENTS).write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        read_segments(tmp_path / MAP)


def test_more_structures_than_a_map_holds_are_refused():
    with pytest.raises(OutputError, match="at most 62 structures, got 63"):
        panoptic_map({str(n): np.ones((1, 1, 1), bool) for n in range(63)})


def test_needles_are_instances_and_come_back_with_their_exact_ends_while_structures_stay_whole(tmp_path):
    """A needle of 0.3 mm along 2 slices of the CTV, and one that crosses its voxels: these are the shorter's."""
    needle = Thing("Needle", (1.5, 1.5, 0.0), (1.5, 1.5, 4.0), 0.3)
    second = Thing("Needle", (1.5, 1.5, 2.0), (3.1, 1.5, 2.0), 0.3, score=0.5)
    made = contoured({"Urethra": box((3, 5), (3, 5), (1, 3))})
    made = replace(made, ctv=replace(made.ctv, things=(needle, second)))
    write_panoptic(tmp_path, made)
    document = json.loads((tmp_path / SEGMENTS).read_text())
    named = [one for one in document["annotations"][0]["segments_info"] if "instance" in one]
    size = Counter()
    for one in named:
        size[one["instance"]] += one["area"]
        assert one["category_id"] == 12
    assert size == {"Needle 1": 2, "Needle 2": 4}  # slices 0 and 2; columns 3 to 6 of slice 1
    assert sorted(one["also"] for one in named if one["instance"] == "Needle 1") == [[], [7, 1]]
    found, _ = read_segments(tmp_path / MAP)
    assert list(found) == ["CTV", "Urethra"]
    assert all(np.array_equal(found[name], mask) for name, mask in made.masks.items())
    assert read_things(tmp_path / SEGMENTS) == (needle, second)


@settings(max_examples=20, deadline=None)
@given(
    x=st.floats(0, 3.5), y=st.floats(0, 3.5), end=st.tuples(*[st.floats(0, 3.5)] * 3), radius=st.floats(0.1, 1.0)
)  # fmt: skip
def test_the_voxels_of_a_thing_lie_within_its_radius_or_on_its_axis(x, y, end, radius):
    thing = Thing("Seed", (x, y, 0.0), end, radius)
    voxels = voxels_of(thing, AFFINE, (8, 8, 4))
    assert len(voxels) == len(np.unique(voxels, axis=0)) > 0
    centres = voxels @ AFFINE[:3, :3]
    along = np.linspace(thing.start_mm, thing.end_mm, 400)
    far = np.linalg.norm(centres[:, None] - along[None], axis=2).min(axis=1)
    assert far.max() <= max(radius, np.linalg.norm([0.25, 0.25, 1.0])) + 0.02
