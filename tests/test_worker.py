"""The verb ``worker``: lines of JSON in, lines of JSON out, in a process of its own."""

import base64
import json
import subprocess
import sys
import zlib

import numpy as np
import pytest

from prostate_seg.reading.cases import read
from prostate_seg.reading.hints import read_hints
from prostate_seg.reading.masks import read_mask

OPEN, ADD = {"do": "open", "case": "x", "folder": "."}, {"do": "add", "case": "a"}
POINT = {"type": "point", "side": "inside"}
EXPORT = {"do": "export", "case": "a", "mask": "m", "output": ".", "formats": "stl"}


class Talk:
    """A worker process; ``ask`` returns the last line of its answer, and keeps what came before."""

    def __init__(self):
        command = [sys.executable, "-m", "prostate_seg", "worker", "--device", "cpu"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_by_one_sentence_and_changes_nothing(talk, opened, request_, sentence):
    answer = talk.line(json.dumps({"id": 7, **request_}))
    assert answer["id"] == 7
    assert sentence in answer["error"]
    assert answer["error"].endswith(".")


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"do": "undo"}', ""])
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
