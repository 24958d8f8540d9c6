"""The page of `review` by HTTP: what is let in, what hints do, what is kept, what is saved."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from serving import reviewed

from prostate_seg.reading.masks import read_mask
from prostate_seg.report import page as frame

ASSETS = Path(frame.__file__).parent / "assets"
SQUARE = [[12, 12], [42, 12], [42, 36], [12, 36]]  # 25 x 20 pixels of 1.2 mm


@pytest.fixture(scope="module")
def arguments(nifti_case, tiny_bundle, tmp_path_factory):
    return (nifti_case[0], "-o", tmp_path_factory.mktemp("review") / "out", "--bundle", tiny_bundle)


@pytest.fixture(scope="module")
def page(arguments, repository):
    with reviewed(*arguments, repository=repository) as page:
        yield page


@pytest.fixture
def empty(page):
    """The page with its case opened and no hints."""
    while page.ask("undo")[0] == 200:
        pass
    return page


def refused(answer, status, sentence):
    assert answer[0] == status
    assert sentence in answer[1]["error"]
    assert answer[1]["error"].endswith(".")


def test_the_page_is_for_this_computer_and_may_load_nothing_from_elsewhere(page):
    assert page.host == f"127.0.0.1:{page.port}"
    assert len(page.path) == 34  # 24 random bytes and two slashes
    status, headers, content = page.raw("GET", page.path)
    assert status == 200
    assert (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;"
        in headers["Content-Security-Policy"]
    )
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers
    assert b"Research use only. Not a medical device." in content
    assets = ["style.css", *(path.name for path in ASSETS.glob("correct*.[cj]s*"))]
    assert len(assets) == 7
    for name in assets:
        assert page.raw("GET", page.path + name)[2] == (ASSETS / name).read_bytes()


@pytest.mark.parametrize("path", ["/", "/correct.js", "//", "/x/", "/token/cases", "/%00/", "/%C3%A9/", "/%FF/"])
def test_without_the_token_nothing_is_served(page, path):
    status, _, content = page.raw("GET", path)
    assert status == 403
    assert "lacks the token" in json.loads(content)["error"]


def test_a_token_that_is_cut_or_continued_is_refused(page):
    for path in (page.path[:-2] + "/", page.path[:-1] + "x/", page.path[:-1]):
        assert page.raw("GET", path)[0] == 403


def test_another_host_origin_or_site_is_refused(page):
    refused(page.post("cases", Host="evil.example"), 403, "another host")
    refused(page.post("cases", Host=f"evil.example:{page.port}"), 403, "another host")
    refused(page.post("cases", Origin="http://evil.example"), 403, "another site")
    refused(page.post("cases", Origin="null"), 403, "another site")
    refused(page.post("cases", Sec_Fetch_Site="cross-site"), 403, "another site")
    own = {"Origin": f"http://{page.host}", "Sec_Fetch_Site": "same-origin"}
    assert page.post("cases", Host=f"localhost:{page.port}", **own)[0] == 200
    assert page.post("cases", **own) == (200, {"cases": [{"name": "scan", "hints": False, "saved": False}]})


@pytest.mark.parametrize(
    ("body", "headers", "status", "sentence"),
    [
        (b"{}", {"Content_Type": "text/plain"}, 415, "expected application/json"),
        (b"{", {}, 400, "The content is no JSON"),
        (b"[]", {}, 400, "a list, expected one JSON object"),
        (b'{"a": NaN}', {}, 400, "no JSON"),
        (b"[" * 100_000, {}, 400, "nested too deeply"),
        (b'{"a": 1, "a": 2}', {}, 400, "twice"),
        (b"\xff", {}, 400, "UTF-8"),
        (b" " * ((4 << 20) + 1), {}, 413, "at most 4194304 bytes"),
        (iter([b" " * (3 << 20)] * 2), {}, 413, "at most 4194304 bytes"),
    ],
)
def test_content_of_another_type_size_or_form_is_refused(page, body, headers, status, sentence):
    refused(page.post("cases/0/add", body, **headers), status, sentence)


@pytest.mark.parametrize("path", ["cases/1/open", "cases/-1/open", "cases/x/open", "cases/0/delete", "etc", "../x"])
def test_an_unknown_address_is_refused(page, path):
    refused(page.post(path), 404, "no such address")


def test_a_get_of_an_action_and_a_post_to_a_file_are_refused(page):
    assert page.raw("GET", page.path + "cases/0/undo")[0] == 405
    assert page.raw("POST", page.path, b"{}", {"Content-Type": "application/json"})[0] == 405
    assert page.raw("PUT", page.path + "cases")[0] == 405


def test_a_contour_between_two_planes_on_its_slice_is_500_voxels_or_3_6_ml(empty, arguments):
    opened = empty.ask("open")[1]
    status, answer = empty.ask("add", type="contour", slice=4, points=SQUARE)
    assert status == 200, answer
    assert empty.ask("add", type="plane", end="apex", slice=4)[0] == 200
    answer = empty.ask("add", type="plane", end="base", slice=4)[1]
    assert answer["volume_ml"] == 3.6  # 30 mm x 24 mm x 5 mm
    assert answer["version"] != opened["version"]
    assert [hint["type"] for hint in answer["hints"]] == ["contour", "plane", "plane"]
    assert [hint["slice"] for hint in answer["hints"]] == [4, 4, 4]
    assert answer["hints"][0]["lines"] == [SQUARE]
    saved = empty.ask("save")[1]
    assert saved["files"] == ["ctv.nii.gz", "ctv.seg.nrrd", "trus.nrrd", "manifest.json", "hints.json"]
    folder = arguments[2] / "scan"
    assert sorted(path.name for path in folder.iterdir()) == sorted(saved["files"])
    mask = read_mask(folder / "ctv.nii.gz").mask()
    assert mask.sum() == 500
    assert mask.any(axis=(0, 1)).sum() == 1
    assert json.loads((folder / "manifest.json").read_text())["volume_ml"] == 3.6
    assert (folder / "hints.json").read_bytes() == (arguments[2] / "scan.hints.json").read_bytes()
    assert empty.ask("open")[1]["saved"] is True
    assert empty.ask("undo")[1]["saved"] is False
    assert empty.ask("save")[0] == 200  # its own folder is replaced


def test_a_saved_mask_that_was_changed_elsewhere_is_not_replaced(empty, arguments):
    assert empty.ask("save")[0] == 200
    file = arguments[2] / "scan" / "ctv.seg.nrrd"
    before = file.read_bytes()
    file.write_bytes(before + b" ")
    refused(empty.ask("save"), 507, "was changed since it was written")
    file.write_bytes(before)
    assert empty.ask("save")[0] == 200


def test_the_outline_on_a_contoured_slice_is_that_of_its_25_x_20_pixels_and_before_the_hints_the_networks(empty):
    first = empty.ask("outline", slice=4)[1]
    assert first["now"] == first["before"]
    assert empty.ask("add", type="contour", slice=4, points=SQUARE)[0] == 200
    answer = empty.ask("outline", slice=4)[1]
    assert answer["before"] == first["before"]
    corners = [float(value) for value in re.findall(r"[\d.]+", answer["now"])]
    across, down = corners[::2], corners[1::2]
    assert max(across) - min(across) == pytest.approx(30, abs=0.02)
    assert max(down) - min(down) == pytest.approx(24, abs=0.02)
    refused(empty.ask("outline", slice=8), 422, "expected an index from 0 to 7")


def test_undone_hints_come_back_one_by_one_until_another_is_drawn(empty):
    for at in (20, 24):
        first = empty.ask("add", type="point", side="inside", slice=4, points=[[at, 20]])[1]
    assert [empty.ask("undo")[1]["undone"] for _ in range(2)] == [1, 2]
    assert empty.ask("redo")[1]["hints"] == first["hints"][:1]
    again = empty.ask("redo")[1]
    assert (again["hints"], again["version"], again["undone"]) == (first["hints"], first["version"], 0)
    refused(empty.ask("redo"), 422, "no hint to redo")
    assert empty.ask("undo")[1]["undone"] == 1
    assert empty.ask("add", type="point", side="inside", slice=4, points=[[28, 20]])[1]["undone"] == 0


@pytest.mark.parametrize("verb", ["undo", "save", "redo"])
def test_a_window_that_missed_a_hint_of_another_one_changes_nothing(empty, verb):
    seen = empty.ask("open")[1]["version"]
    assert empty.ask("version")[1] == {"version": seen, "saved": empty.ask("open")[1]["saved"]}
    hint = {"type": "point", "side": "inside", "slice": 4, "points": [[20, 20]]}
    now = empty.ask("add", seen=seen, **hint)[1]
    assert now["version"] != seen
    refused(empty.ask(verb, seen=seen), 409, "Another window changed this case")
    assert empty.ask("open")[1]["hints"] == now["hints"]
    assert empty.ask("undo", seen=now["version"])[1]["version"] == seen


def test_hints_that_contradict_each_other_are_answered_by_a_sentence_and_change_nothing(empty, arguments):
    point = {"type": "point", "slice": 4, "points": [[20, 20]]}
    assert empty.ask("add", side="inside", **point)[0] == 200
    before = empty.ask("open")[1], (arguments[2] / "scan.hints.json").read_bytes()
    refused(empty.ask("add", side="outside", **point), 422, "Hint 1 (inside point) contradicts hint 2")
    refused(empty.ask("add", type="plane", end="apex", slice=6), 422, "lies beyond the plane of the apex")
    assert (empty.ask("open")[1], (arguments[2] / "scan.hints.json").read_bytes()) == before


@pytest.mark.parametrize(
    ("drawn", "sentence"),
    [
        ({}, "A hint of the page has no parts; the types are plane, point, scribble, contour."),
        ({"type": "ring", "slice": 1}, "the types are"),
        ({"type": ["point"], "slice": 1}, "the types are"),
        ({"type": "plane", "end": "top", "slice": 1}, "expected apex or base"),
        ({"type": "plane", "end": "apex", "slice": 8}, "expected an index from 0 to 7"),
        ({"type": "plane", "end": "apex", "slice": True}, "expected an index from 0 to 7"),
        ({"type": "plane", "end": "apex", "slice": 1, "more": 1}, "expected end, slice, type"),
        ({"type": "point", "side": "left", "slice": 1, "points": [[1, 1]]}, "expected inside or outside"),
        ({"type": "point", "side": "inside", "slice": 1, "points": [[1, 1], [2, 2]]}, "2 places, expected 1"),
        ({"type": "point", "side": "inside", "slice": 1, "points": [[1e9, 1]]}, "beside the slice"),
        ({"type": "point", "side": "inside", "slice": 1, "points": [["1", 1]]}, "expected mm"),
        ({"type": "point", "side": "inside", "slice": 1, "points": [[1, 1, 1]]}, "expected two numbers"),
        ({"type": "point", "side": "inside", "slice": 1, "points": "x"}, "no list"),
        ({"type": "scribble", "side": "inside", "slice": 1, "points": [], "radius_mm": 2}, "expected 1 to"),
        ({"type": "scribble", "side": "inside", "slice": 1, "points": [[1, 1]], "radius_mm": 99}, "0 to 50 mm"),
        ({"type": "contour", "slice": 1, "points": [[1, 1], [2, 2]]}, "expected 3 to"),
    ],
)
def test_a_wrong_hint_is_answered_by_a_sentence(empty, drawn, sentence):
    refused(empty.ask("add", **drawn), 422, sentence)
    assert empty.ask("open")[1]["hints"] == []


def test_pictures_doubt_and_warnings_are_those_of_the_slice(empty):
    status, answer = empty.ask("picture", slice=3)
    assert status == 200
    assert answer["picture"].startswith("data:image/jpeg;base64,")
    assert set(empty.ask("doubt", slice=3)[1]) == {"picture"}
    assert isinstance(empty.ask("warnings")[1]["warnings"], list)
    refused(empty.ask("picture", slice=8), 422, "expected an index from 0 to 7")
    refused(empty.ask("doubt"), 422, "The slice is None")
    refused(empty.ask("undo"), 422, "no hint to undo")


@pytest.fixture(scope="module")
def two(nifti_case, tiny_bundle, tmp_path_factory):
    """Two scans of which the second is damaged, and an output folder."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "a.nii.gz").write_bytes(nifti_case[0].read_bytes())
    (folder / "b.nii.gz").write_bytes(nifti_case[0].read_bytes()[:-2000])
    return (folder / "a.nii.gz", folder / "b.nii.gz", "-o", folder / "out", "--bundle", tiny_bundle)


@pytest.mark.slow
def test_hints_of_a_killed_review_are_taken_up_and_a_damaged_scan_keeps_no_other_from_work(two, repository):
    point = {"type": "point", "side": "inside", "slice": 4, "points": [[20.0, 21.0]]}
    with reviewed(*two, repository=repository) as page:
        assert page.cases == ["a", "b"]
        volume = page.ask("add", **point)[1]["volume_ml"]
        status, answer = page.ask("open", case=1)
        assert status == 422
        assert answer["error"].startswith("b: ")
        with (
            pytest.raises(RuntimeError, match=r"Another run is writing to .*out"),
            reviewed(*two, repository=repository),
        ):
            pass
        os.kill(page.process.pid, signal.SIGKILL)
        page.process.wait()
    with reviewed(*two, repository=repository) as page:
        assert page.post("cases")[1]["cases"][0] == {"name": "a", "hints": True, "saved": False}
        opened = page.ask("open")[1]
        assert opened["volume_ml"] == volume
        assert [hint["lines"] for hint in opened["hints"]] == [[[[20.0, 21.0]]]]
        page.process.send_signal(signal.SIGINT)
        assert "ended; hints and saved cases are in" in page.process.stderr.read()
        assert page.process.wait() == 0


def test_hints_of_another_image_are_not_taken_up(empty, arguments, repository, tmp_path):
    assert empty.ask("add", type="point", side="inside", slice=4, points=[[20, 20]])[0] == 200
    content = json.loads((arguments[2] / "scan.hints.json").read_text())
    file = tmp_path / "out" / "scan.hints.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content | {"image_sha256": "0" * 64}))
    with reviewed(arguments[0], "-o", file.parent, *arguments[3:], repository=repository) as page:
        refused(page.ask("open"), 422, "The hints were given for another image")
    assert json.loads(file.read_text())["hints"] == content["hints"]
