"""Bundles of others: sizes held before anything is built, odd files one sentence, changed settings told."""

import json
import os
import shutil
import time
import zipfile

import numpy as np
import pytest
import torch

from prostate_seg import BundleError, InputError, ProstateSegError, load_bundle
from prostate_seg.assessment.assessor import Assessor
from prostate_seg.assessment.doubt import Score
from prostate_seg.assessment.recognition import Recognition
from prostate_seg.assessment.shape_model import ShapeModel
from prostate_seg.inference.released import released_bundle
from prostate_seg.inference.settings import read_settings, settings_digest


@pytest.fixture
def copied(tiny_bundle, tmp_path):
    """A copy of the tiny bundle, and how to change a file of its configuration."""
    folder = tmp_path / "copied"
    shutil.copytree(tiny_bundle, folder)

    def change(how, name="inference.json"):
        path = folder / "configs" / name
        content = json.loads(path.read_text())
        how(content)
        path.write_text(json.dumps(content))
        return folder

    return change


def within(settings, place, value):
    *path, last = place.split("::")
    for key in path:
        settings = settings[int(key) if key.isdigit() else key]
    settings[last] = value


ENCODER, INFERER = "network_def::encoder", "inferer::inferer"


@pytest.mark.parametrize(
    ("place", "value", "text"),
    [
        (f"{ENCODER}::depth", 10**9, r"depth is 1e\+09, expected 0 to 64"),
        (f"{ENCODER}::heads", 0, "heads is 0, expected 1 to 256"),
        (f"{ENCODER}::patch_embed::width", 10**6, r"width is 1e\+06, expected 1 to 4096"),
        (f"{ENCODER}::patch_embed::refine", 10**9, "refine is"),
        (f"{ENCODER}::patch_embed::patch_size", [10**9, 8, 4], "patch_size is"),
        (f"{ENCODER}::image_size", [4096, 4096, 4096], "has 1.* parameters, expected at most 1000000000"),
        (f"{ENCODER}::drop_path", 1e308, r"'drop_path' is 1e\+308, expected -1e\+06 to 1e\+06"),
        (f"{INFERER}::roi_size", [4096, 4096, 4096], r"roi_size covers 6.87195e\+10 voxels"),
        (f"{INFERER}::roi_size", 4096, r"roi_size covers 6.87195e\+10 voxels"),
        (f"{INFERER}::sw_batch_size", 10**6, "sw_batch_size is"),
        ("inferer::scales", [1.0] * 17, "scales has 17 entries, expected at most 16"),
        ("inferer::flip_axes", list(range(3)) * 7, "flip_axes has 21 entries, expected at most 3"),
        ("preprocessing::transforms::5::spatial_size", [4000, 4000, 4000], "spatial_size covers"),
        ("preprocessing::transforms::4::spacing_mm", [1e-9, 1.6, 2.0], "spacing_mm is 1e-09, expected 0.05 to 100"),
    ],
)
def test_c4_a_number_beyond_its_limit_is_refused_within_10_seconds_before_anything_is_built(
    copied, place, value, text
):
    folder = copied(lambda settings: within(settings, place, value))
    start = time.monotonic()
    with pytest.raises(BundleError, match=text):
        load_bundle(folder)
    assert time.monotonic() - start < 10


def test_c4_ensembles_within_ensembles_of_64_members_are_counted_together(copied):
    def change(settings):
        for _ in range(3):
            settings["network_def"] = {
                "_target_": "prostate_seg.network.Ensemble", "member": settings["network_def"], "count": 16,
            }  # fmt: skip

    with pytest.raises(BundleError, match="ensembles have 4096 members, expected at most 64"):
        load_bundle(copied(change))


def test_c4_a_weight_of_10_to_the_12_numbers_in_a_file_of_a_kilobyte_is_refused_by_its_shape(copied):
    folder = copied(lambda settings: None)
    file = folder / "models" / "model.pt"
    state = torch.load(file, weights_only=True)
    name = next(iter(state))
    state[name] = torch.zeros(1).expand(10**12)
    torch.save(state, file)
    with pytest.raises(BundleError, match=r"of another shape: .*1000000000000"):
        load_bundle(folder)
    state[name] = torch.zeros(load_bundle(released_bundle()).network.state_dict()[name].shape)
    state["two\nlines"] = torch.zeros(1)
    torch.save(state, file)
    with pytest.raises(BundleError, match=r"unexpected: 'two\\nlines'"):
        load_bundle(folder)


ODD = {
    "deep": "[" * 100_000,
    "deep but closed": '{"a":' * 80 + "1" + "}" * 80,
    "nan": '{"name": NaN}',
    "beyond": '{"name": 1e999}',
    "twice": '{"name": "a", "name": "b"}',
    "digits": '{"name": ' + "1" * 5000 + "}",
    "list": "[]",
    "empty": "",
    "binary": "\x00\udcff",
}


@pytest.mark.parametrize("name", ["configs/inference.json", "configs/metadata.json", "models/score.json"])
@pytest.mark.parametrize("odd", list(ODD))
def test_d1_each_json_file_of_a_bundle_with_odd_content_is_one_sentence_with_its_path(copied, name, odd):
    folder = copied(lambda settings: None)
    (folder / name).write_text(ODD[odd], encoding="utf-8", errors="surrogateescape")
    with pytest.raises((BundleError, InputError), match=name.split("/")[1]) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
    assert "Error" not in str(caught.value)


VALUES = (None, -1, 1e308, "", "x", [], {}, [[]], {"_target_": "AsDiscreted"}, True)


def places_of(value, place=""):
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        inner = f"{place}::{key}".removeprefix("::")
        yield inner
        if isinstance(part, dict | list):
            yield from places_of(part, inner)


@pytest.mark.slow
def test_d1_120_mutations_of_inference_json_load_or_are_one_sentence_of_ours(tiny_bundle, tmp_path, small_phantom):
    folder = tmp_path / "mutated"
    shutil.copytree(tiny_bundle, folder)
    path = folder / "configs" / "inference.json"
    original = json.loads(path.read_text())
    kept = {part: original[part] for part in ("network_def", "inferer", "preprocessing", "postprocessing")}
    rng = np.random.default_rng(0)
    places = list(places_of(kept))
    said = []
    for _ in range(120):
        content = json.loads(json.dumps(kept))
        *parents, last = places[rng.integers(len(places))].split("::")
        target = content
        for key in parents:
            target = target[int(key)] if isinstance(target, list) else target[key]
        target[int(last) if isinstance(target, list) else last] = VALUES[rng.integers(len(VALUES))]
        path.write_text(json.dumps(content))
        try:
            load_bundle(folder).assess(small_phantom.image)
        except ProstateSegError as error:
            said.append(str(error))
    assert len(said) > 50
    assert not [text for text in said if "\n" in text]


def test_c2_a_named_pipe_as_shape_model_weights_or_configuration_is_refused_without_being_opened(copied, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    folder = copied(lambda settings: None)
    for load in (ShapeModel.load, Recognition.load, Score.load):
        with pytest.raises(InputError, match="it is no regular file"):
            load(pipe)
    with pytest.raises(BundleError, match="There are no weights"):
        load_bundle(folder, weights=pipe)
    (folder / "configs" / "inference.json").unlink()
    os.mkfifo(folder / "configs" / "inference.json")
    with pytest.raises(BundleError, match="it is no regular file"):
        load_bundle(folder)


def archive(path, **contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in contents.items():
            made.writestr(f"{name}.npy", content)
    return path


def header(shape, kind="<f4"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_d1_an_array_of_10_to_the_12_numbers_or_1_gb_of_zeros_is_refused_by_its_header(tmp_path):
    parts = dict.fromkeys(("modes", "deviations", "volumes_ml"), header((1,)) + b"\0\0\x80?")
    for name, content in {
        "claims": header((10**12,)) + b"\0" * 8,
        "bomb": header((2**24,)) + b"\0" * 2**26,
        "objects": header((1,), "|O") + b"cos\nsystem\n.",
        "negative": header((-1,)) + b"\0" * 4,
        "deep": b"\x93NUMPY\x01\x00\xff\x00" + b"[" * 255,
    }.items():
        path = archive(tmp_path / f"{name}.npz", mean=content, **parts)
        with pytest.raises(InputError, match=rf"{name}.npz is no shape model \(it is damaged"):
            ShapeModel.load(path)


def test_d1_a_shape_model_or_score_with_numbers_that_are_none_is_refused(tmp_path):
    model = ShapeModel.load(released_bundle() / "models" / "shape_model.npz")
    for name, change in {
        "nan": {"mean": model.mean * np.nan},
        "zero": {"deviations": 0 * model.deviations},
    }.items():
        ShapeModel(**(vars(model) | change)).save(tmp_path / name)
        with pytest.raises(InputError, match="its numbers are not those of shapes"):
            ShapeModel.load(tmp_path / name)
    ShapeModel(**(vars(model) | {"modes": model.modes[:, :5]})).save(tmp_path / "cut")
    with pytest.raises(InputError, match="its arrays have other shapes"):
        ShapeModel.load(tmp_path / "cut")
    score = json.loads((released_bundle() / "models" / "score.json").read_text())
    for change in ({"names": ["spread_mm"]}, {"names": ["__class__"] * 3}, {"weights": "abcd"}, {"passes": 1.5},
                   {"deviations": [0, 0, 0]}, {"means": [True] * 3}, {"more": 1}):  # fmt: skip
        (tmp_path / "score.json").write_text(json.dumps(score | change))
        with pytest.raises(InputError, match="holds no score of doubt"):
            Score.load(tmp_path / "score.json")


def test_house_11_a_sliding_window_at_the_top_is_refused_since_its_logits_are_no_probabilities(copied):
    folder = copied(lambda settings: settings.update(inferer=settings["inferer"]["inferer"]))
    with pytest.raises(BundleError, match="inferer is a SlidingWindowInferer, which gives logits and no prob"):
        load_bundle(folder)
    stack = {"_target_": "prostate_seg.inference.SliceStackInferer"}
    folder = copied(lambda settings: settings.update(inferer=stack | {"inferer": settings["inferer"]}))
    with pytest.raises(BundleError, match="inferer is a SlidingWindowInferer"):
        load_bundle(folder)


@pytest.fixture
def own(tmp_path):
    """A copy of the released bundle."""
    shutil.copytree(released_bundle(), tmp_path / "own")
    return tmp_path / "own"


def test_g10_a_bundle_with_one_other_number_says_so_in_name_and_digest_and_gives_no_probability(own, small_phantom):
    from prostate_seg.cases.segment import describe

    same, released = load_bundle(own), load_bundle()
    assert same.info == released.info
    assert same.assessor.score is not None
    path = own / "configs" / "inference.json"
    path.write_text(path.read_text().replace('"overlap": 0.5', '"overlap": 0.25'))
    changed = load_bundle(own)
    assert changed.info.name == "prostate_us_segmenter with changed settings"
    assert changed.info.sha256 == released.info.sha256
    assert changed.info.config_sha256 != released.info.config_sha256
    ctv, assessment = changed.assess(small_phantom.image)
    assert (assessment.wrong, assessment.reason) == (None, "the score is fitted with other settings of the bundle")
    bundle = describe(small_phantom.image, ctv, changed, assessment)["bundle"]
    assert bundle["config_sha256"] == changed.info.config_sha256
    for options in ({"ensembling": "none"}, {"refine": False}):  # a user's choice changes no bundle
        info = load_bundle(**options).info
        assert (info.name, info.config_sha256) == (released.info.name, released.info.config_sha256)


def test_g10_remarks_and_what_deals_with_files_do_not_change_the_digest_and_another_shape_model_does(own):
    before = settings_digest(read_settings(own))
    path = own / "configs" / "inference.json"
    content = json.loads(path.read_text())
    content["network_def"]["_desc_"] = "mine"
    content["postprocessing"]["transforms"][-1]["output_postfix"] = "mask"
    path.write_text(json.dumps(content))
    assert settings_digest(read_settings(own)) == before
    model = ShapeModel.load(released_bundle() / "models" / "shape_model.npz")
    ShapeModel(**(vars(model) | {"mean": 1.1 * model.mean})).save(own / "other.npz")
    content["postprocessing"]["transforms"][1]["shape_model"] = str(own / "other.npz")
    path.write_text(json.dumps(content))
    assert settings_digest(read_settings(own)) != before


def test_g10_a_score_that_does_not_say_its_settings_gives_no_probability(own):
    path = own / "models" / "score.json"
    score = json.loads(path.read_text())
    del score["settings_sha256"]
    path.write_text(json.dumps(score))
    assessor = load_bundle(own).assessor
    assert (assessor.score, assessor.changed) == (None, False)
    assert assessor.unscored == "the score does not say which settings it was fitted with"
    assert isinstance(assessor, Assessor)
