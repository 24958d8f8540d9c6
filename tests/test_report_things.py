"""Needles and seeds on the page of a case: their rings on the slices, their numbers, and their lines in 3D."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from prostate_seg.geometry.things import Thing
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.report.things import ThingLayer, lines_lps_mm, marks
from prostate_seg.writing import write
from prostate_seg.writing.view import view_of

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])  # columns to the left, rows to the posterior, slices to the superior
NEEDLE = Thing("Needle", (-10.0, -20.0, 0.0), (-14.0, -20.0, 8.0), 0.65, score=0.9)
SEED = Thing("Seed", (-5.0, -5.0, 4.4), (-5.0, -5.0, 5.2), 0.4)


def volume(affine=AFFINE, shape=(40, 30, 10)):
    return Volume(np.full(shape, 100, np.uint8), affine)


def layer(*things, name="Needle"):
    return ThingLayer(name, "#00ccff", things)


def test_a_needle_is_marked_with_its_number_where_it_crosses_each_slice():
    image = volume()
    found = marks(view_of(image), image, [layer(NEEDLE)])
    assert [len(one) for one in found] == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert found[0] == [{"x": 10.5, "y": 20.5, "target": "things0", "text": "1"}]  # the middle of pixel 10, 20
    assert found[2][0]["x"] == 12.5


def test_a_seed_between_two_slices_is_marked_on_the_nearer_one_without_a_number():
    image = volume()
    found = marks(view_of(image), image, [layer(NEEDLE), layer(SEED, name="Seed")])
    assert [[one["text"] for one in part if one["target"] == "things1"] for part in found[:4]] == [[], [], [""], []]


@pytest.mark.parametrize("codes", ["RAS", "LPI", "RPS", "PSL"])
def test_marks_lie_at_the_same_place_whatever_the_order_of_the_axes(codes):
    image = volume()
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt(codes))
    from nibabel.orientations import apply_orientation

    other = Volume(
        np.ascontiguousarray(apply_orientation(image.array, turn)),
        AFFINE @ inv_ornt_aff(turn, image.array.shape),
    )
    expected, found = (marks(view_of(one), one, [layer(NEEDLE), layer(SEED)]) for one in (image, other))
    assert found == expected


def test_a_black_margin_that_is_cut_off_moves_the_marks():
    image = volume()
    image.array[:6], image.array[:, :4] = 0, 0
    found = marks(view_of(image), image, [layer(NEEDLE)])
    assert (found[0][0]["x"], found[0][0]["y"]) == (4.5, 16.5)


def test_the_lines_in_3d_are_in_lps_mm_with_their_numbers():
    ((first, ends), (second, _)) = lines_lps_mm(layer(NEEDLE, SEED))
    assert (first, second) == ("Needle 1", "Needle 2")
    assert ends.tolist() == [[10.0, 20.0, 0.0], [14.0, 20.0, 8.0]]


def test_the_page_of_a_case_lists_things_and_marks_those_that_were_learnt_on_phantoms(tmp_path):
    image = volume()
    labels = np.zeros(image.array.shape, np.uint8)
    labels[8:20, 8:24, 1:7] = 1
    found = Segmentation(labels, AFFINE, things=(NEEDLE, SEED), phantom_trained=("Needle",))
    write(found, tmp_path / "page.html", image=image, format="report")
    page = (tmp_path / "page.html").read_text()
    assert "Needle (phantom-trained): 1" in page
    assert ">Seed: 1" in page
    data = json.loads(re.search(r"const report = (.*?);</script>", page, re.DOTALL).group(1))
    assert [len(one) for one in data["marks"]] == [1, 1, 2, 1, 1, 0, 0, 0, 0, 0]
    lines = [one for one in data["surface"]["data"] if one["type"] == "scatter3d"]
    assert [one["name"] for one in lines] == ["Needle (phantom-trained): 1", "Seed: 1"]
    assert lines[0]["text"][0] == "Needle (phantom-trained) 1"
    write(replace(found, things=()), tmp_path / "none.html", image=image, format="report")
    assert "phantom-trained)" not in (tmp_path / "none.html").read_text()
