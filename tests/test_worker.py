"""The verb ``worker``: lines of JSON in, lines of JSON out, in a process of its own."""

import base64
import json
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prostate_seg.reading.cases import read
from prostate_seg.reading.hints import read_hints
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write

OPEN, ADD = {"do": "open", "case": "x", "folder": "."}, {"do": "add", "case": "a"}
POINT = {"type": "point", "side": "inside"}
EXPORT = {"do": "export", "case": "a", "mask": "m", "output": ".", "formats": "stl"}


class Talk:
    """A worker process; ``ask`` returns the last line of its answer, and keeps what came before."""

    def __init__(self, **streams):
        command = [sys.executable, "-m", "prostate_seg", "worker", "--device", "cpu"]
        streams |= {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, encoding="utf-8", **streams)
        self.greeting = json.loads(self.process.stdout.readline())
        self.progress = []

    def ask(self, do, **arguments):
        return self.line(json.dumps({"id": 7, "do": do, **arguments}))

    def line(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        self.progress = []
        while "progress" in (answer := json.loads(self.process.stdout.readline())):
            self.progress.append(answer["progress"])
        return answer


@pytest.fixture(scope="module")
def talk():
    talk = Talk()
    yield talk
    talk.process.stdin.close()
    assert talk.process.wait(20) == 0  # the end of its input ends it


@pytest.fixture(scope="module")
def opened(talk, nifti_case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("open")
    result = talk.ask("open", case="a", image=str(nifti_case[0]), folder=str(folder))["result"]
    assert talk.progress == ["Reading the image.", "Loading the network.", "Segmenting."]
    return folder, result


def voxels(packed):
    bits = np.frombuffer(zlib.decompress(base64.b64decode(packed["bits"])), np.uint8)
    return np.unpackbits(bits)[: np.prod(packed["shape"])].reshape(packed["shape"]) > 0


def test_an_opened_image_has_the_mask_of_segment_its_grid_and_8_slices(opened, nifti_case):
    from prostate_seg import segment

    folder, result = opened
    expected = segment(nifti_case[0], device="cpu")
    assert np.array_equal(voxels(result["mask"]), expected.labels == 1)
    assert np.array_equal(read_mask(folder / "ctv.seg.nrrd").labels, expected.labels)
    assert result["volume_ml"] == expected.volume_ml > 10
    assert result["warnings"] == list(expected.warnings)
    np.testing.assert_allclose(result["grid"]["affine"], expected.affine)
    assert result["grid"]["slices"] == {"axis": 2, "rises": True, "count": 8}
    assert (result["dicom"], result["hints"]["hints"], result["moved_mm"]) == (False, [], [0, 0])


def test_after_apex_at_slice_3_slices_1_and_2_are_empty_until_it_is_undone(talk, opened):
    hints = [{"type": "plane", "end": "apex", "slice": 3}]
    added = talk.ask("add", case="a", hints=hints)["result"]
    filled = voxels(added["mask"]).any(axis=(0, 1))
    assert filled.tolist()[:3] == [False, False, True]
    assert [hint["end"] for hint in added["hints"]["hints"]] == ["apex"]
    back = talk.ask("undo", case="a")["result"]
    assert np.array_equal(voxels(back["mask"]), voxels(opened[1]["mask"]))


def test_uncertainty_is_0_to_100_percent_and_a_suggestion_lies_on_one_of_the_8_slices(talk, opened):
    doubt = talk.ask("assess", case="a")["result"]["doubt"]
    percent = np.frombuffer(zlib.decompress(base64.b64decode(doubt["bytes"])), np.uint8)
    assert (percent.size, percent.min()) == (80 * 60 * 8, 0)
    assert 50 < percent.max() <= 100
    suggestion = talk.ask("suggest", case="a")["result"]["suggestion"]
    assert 1 <= suggestion["slice"] <= 8
    assert 0 < suggestion["gain"] < 1


def test_saved_hints_are_read_back_for_the_same_image_and_open_again(talk, opened, nifti_case, tmp_path):
    at = opened[1]["grid"]["affine"]
    centre = (np.array(at) @ [40, 30, 4, 1])[:3].tolist()
    once = talk.ask("add", case="a", hints=[{"type": "point", "side": "inside", "at_mm": centre}])["result"]
    assert talk.ask("save", case="a", file=str(tmp_path / "hints.json"))["result"]["file"].endswith("hints.json")
    assert len(read_hints(tmp_path / "hints.json", read(nifti_case[0]))) == 1
    folder = str(tmp_path)
    again = talk.ask("open", case="b", image=str(nifti_case[0]), folder=folder, hints=once["hints"])["result"]
    assert again["mask"] == once["mask"]
    assert talk.ask("close", case="b")["result"] == {}
    talk.ask("undo", case="a")


def test_a_mask_is_exported_with_its_remarks_and_without_torch_in_between(talk, opened, tmp_path):
    done = talk.ask(
        "export", case="a", mask=str(opened[0] / "ctv.seg.nrrd"), output=str(tmp_path), formats="nifti,stl"
    )["result"]
    assert done["outputs"] == ["ctv.nii.gz", "ctv.stl", "manifest.json"]
    assert read_mask(tmp_path / "ctv" / "ctv.nii.gz").volume_ml == pytest.approx(opened[1]["volume_ml"])


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"do": "paint"}, "The request is 'paint', expected one of open, add, undo, assess, "),
        ({"do": "undo"}, "The request undo does not fit: missing a required argument: 'case'."),
        ({"do": "undo", "case": "x"}, "No image is open as 'x'; open it first."),
        (OPEN | {"image": "absent"}, "absent: no such file or folder."),
        (OPEN | {"image": "a", "acquisition": {"mm": 1}}, "The acquisition has mm, expected frame_spacing_mm"),
        (ADD | {"hints": [POINT | {"side": "up", "at_mm": [0, 0, 0]}]}, "up"),
        (ADD | {"hints": [POINT | {"at_mm": [900, 0, 0]}]}, "outside the image"),
        ({"do": "save", "case": "a", "file": "/absent/hints.json"}, "there is no folder /absent; create it first."),
        (EXPORT | {"output": "/proc/o"}, "/proc/o cannot be written"),
        (EXPORT | {"formats": "jpeg"}, "--format has jpeg"),
        (EXPORT | {"x": 1}, "The request export has x"),
        ({"do": "close", "case": []}, "The request has case = [], expected a text."),
        ({"do": "close", "case": "a\0"}, "expected a text."),
        (OPEN | {"image": 3}, "The request has image = 3, expected a text."),
        (OPEN | {"image": "\ud800"}, "expected a text."),
        (OPEN | {"image": "a", "folder": "absent"}, "There is no folder absent; create it first."),
        (OPEN | {"image": "a", "acquisition": [1]}, "The request has acquisition = [1], expected an object."),
        (OPEN | {"image": "a", "acquisition": {"frame_spacing_mm": "4"}}, "The frame spacing is no number of mm"),
        (ADD | {"hints": None}, "The request add has no list of hints"),
        (ADD | {"hints": [3]}, "Hint 1 is 3, expected an object"),
        (EXPORT | {"structures": "all"}, "The request has structures = 'all', expected a list of names."),
        (EXPORT | {"ptv_margin": 3}, "The request has ptv_margin = 3, expected a text."),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_by_one_sentence_and_changes_nothing(talk, opened, request_, sentence):
    answer = talk.line(json.dumps({"id": 7, **request_}))
    assert answer["id"] == 7
    assert sentence in answer["error"]
    assert answer["error"].endswith(".")


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "3", '{"do": "undo"}', "", "[" * 200_000, '{"id": NaN, "do": "undo"}'],
    ids=lambda line: line[:9],
)
def test_what_is_no_request_is_answered_without_a_number(talk, line):
    assert talk.line(line) == {
        "id": None,
        "error": "The request is not a JSON object with id and do; send one object a line.",
    }


def test_apex_above_base_is_refused_and_the_first_of_the_two_stays(talk, opened):
    talk.ask("add", case="a", hints=[{"type": "plane", "end": "apex", "slice": 6}])
    refused = talk.ask("add", case="a", hints=[{"type": "plane", "end": "base", "slice": 3}])
    assert "the apex lies above the base; leave one of the two out." in refused["error"]
    assert talk.ask("undo", case="a")["result"]["hints"]["hints"] == []


def test_the_first_line_names_protocol_1_and_the_version(talk):
    import prostate_seg

    assert talk.greeting == {"worker": "prostate-seg", "version": prostate_seg.__version__, "protocol": 1}


def test_an_id_that_is_no_whole_number_or_text_is_refused_without_it(talk):
    assert talk.line('{"id": 1e999, "do": "undo"}') == {
        "id": None,
        "error": "The id is inf, expected a whole number or a text.",
    }


def test_a_byte_that_is_no_utf_8_is_answered_and_the_next_request_too(talk):
    talk.process.stdin.flush()
    talk.process.stdin.buffer.write(b'{"id": 7, "do": "save", "case": "x\xff", "file": "f"}\n')
    talk.process.stdin.buffer.flush()
    assert json.loads(talk.process.stdout.readline())["error"] == "No image is open as 'x\ufffd'; open it first."
    assert talk.ask("close", case="x")["result"] == {}


def test_a_worker_whose_replies_nobody_reads_ends_without_a_traceback():
    deaf = Talk(stderr=subprocess.PIPE)
    deaf.process.stdout.close()
    deaf.process.stdin.write('{"id": 1, "do": "close", "case": "x"}\n')
    _, said = deaf.process.communicate(timeout=60)
    assert (deaf.process.returncode, said) == (0, "")


def test_the_export_of_another_image_of_the_same_name_gets_number_2_and_the_same_image_replaces_its_own(
    talk, opened, small_phantom, tmp_path
):
    mask, output = opened[0] / "ctv.seg.nrrd", tmp_path / "out"
    mirrored = replace(small_phantom.image, array=small_phantom.image.array[::-1].copy())
    write(mirrored, tmp_path / "other.nrrd")
    talk.ask("open", case="other", image=str(tmp_path / "other.nrrd"), folder=str(tmp_path))
    folders = [
        Path(talk.ask("export", case=case, mask=str(file), output=str(output), formats="nifti")["result"]["folder"])
        for case, file in (("a", mask), ("other", tmp_path / "ctv.seg.nrrd"), ("other", tmp_path / "ctv.seg.nrrd"))
    ]
    talk.ask("close", case="other")
    assert [folder.name for folder in folders] == ["ctv", "ctv 2", "ctv 2"]
    assert np.array_equal(read_mask(folders[0] / "ctv.nii.gz").labels, read_mask(mask).labels)
