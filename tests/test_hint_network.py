"""Hints as channels of a network: their maps, simulated ones for training, and what the released network adds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from simulated_user import SimulatedUser

from prostate_seg import load_bundle
from prostate_seg.cases.session import Session
from prostate_seg.correction.maps import hint_maps
from prostate_seg.correction.moved import Places
from prostate_seg.errors import BundleError
from prostate_seg.evaluation.metrics import overlap
from prostate_seg.geometry.hints import Contour, Point
from prostate_seg.inference.hint_network import load_hint_network
from prostate_seg.inference.released import released_bundle
from prostate_seg.inference.settings import build_network
from prostate_seg.inference.weights import initialise
from prostate_seg.phantom import make_phantom
from prostate_seg.training import SimulatedHintsd

BUNDLE = Path(released_bundle())
CPU = torch.device("cpu")
SPACING_MM = (1.6, 1.6, 2.0)


def test_a_plane_changes_the_sign_of_its_map_between_slices_3_and_4_and_no_hint_is_0_everywhere():
    apex, base, boundary, sides = hint_maps(Places(below=7.0), (4, 4, 8), SPACING_MM)
    assert (np.sign(apex[0, 0]) == [-1, -1, -1, -1, 1, 1, 1, 1]).all()
    assert np.abs(apex).min() > 0.3
    assert not base.any()
    assert not boundary.any()
    assert not sides.any()


def test_a_point_is_1_where_it_lies_and_falls_to_e_to_the_minus_half_in_4_mm():
    at = np.array([[16.0, 16.0, 10.0]])
    maps = hint_maps(Places(boundary=at, outside=at), (21, 21, 11), SPACING_MM)
    assert maps[2, 10, 10, 5] == pytest.approx(1)
    assert maps[2, 10, 10, 7] == pytest.approx(np.exp(-0.5))
    assert maps[3, 10, 10, 5] == pytest.approx(-1)
    assert not maps[2, :2].any()


def drawn(seed, **options):
    """A ball of radius 20 mm with simulated hints."""
    grid = np.moveaxis(np.indices((40, 40, 32)), 0, -1) * SPACING_MM - (32, 32, 32)
    ball = torch.as_tensor((np.linalg.norm(grid, axis=-1) < 20).astype(np.float32))[None]
    step = SimulatedHintsd(["image", "label"], SPACING_MM, **options)
    step.set_random_state(seed)
    return ball, step({"image": torch.zeros_like(ball), "label": ball})


def test_without_hints_the_label_is_as_given_and_four_channels_of_0_are_added():
    ball, sample = drawn(0, prob=0.0)
    assert torch.equal(sample["label"], ball)
    assert sample["image"].shape == (5, 40, 40, 32)
    assert not sample["image"].any()


def test_simulated_boundary_points_lie_on_the_label_that_was_displaced_with_them():
    off, far = [], []
    for seed in range(12):
        ball, sample = drawn(seed, prob=1.0)
        label = sample["label"][0].numpy() > 0.5
        far.append(float((torch.as_tensor(label)[None] != (ball > 0.5)).sum() / ball.sum()))
        for at in np.argwhere(sample["image"][3].numpy() > 0.9):
            box = tuple(slice(max(n - 1, 0), n + 2) for n in at)
            off.append(label[box].all() or not label[box].any())
    assert len(off) > 5
    assert np.mean(off) == 0
    assert np.max(far) > 0.1  # part of the ball


def test_weights_of_an_image_alone_start_a_network_of_hints_that_ignores_them():
    definition = json.loads((BUNDLE / "configs/hints.json").read_text())["network_def"]
    network = initialise(build_network(definition), str(BUNDLE / "models/model.pt")).eval()
    image = torch.rand(1, 1, 72, 48, 32)
    with torch.inference_mode():
        none, some = (network(torch.cat([image, torch.full((1, 4, 72, 48, 32), x)], 1)) for x in (0.0, 1.0))
    assert torch.equal(none, some)


def test_a_bundle_without_the_file_has_no_such_network_and_one_without_weights_is_refused(tmp_path):
    assert load_hint_network(tmp_path, CPU) is None
    (tmp_path / "configs").mkdir()
    shutil.copyfile(BUNDLE / "configs/hints.json", tmp_path / "configs/hints.json")
    with pytest.raises(BundleError, match=r"but models/hints.pt is missing; reinstall the bundle"):
        load_hint_network(tmp_path, CPU)
    (tmp_path / "configs/hints.json").write_text("{}")
    with pytest.raises(BundleError, match="lacks network_def, inferer, spacing_mm"):
        load_hint_network(tmp_path, CPU)


def test_an_empty_contour_on_an_empty_slice_changes_no_voxel_that_2_hints_moved(small_phantom):
    volume = small_phantom.image
    session = Session(volume, load_bundle(device="cpu"))
    user = SimulatedUser(volume, small_phantom.structures["ctv"])
    apex, _ = user.planes(np.random.default_rng(0))
    for hint in (apex, user.click(session.segmentation.mask())):
        session.add(hint)
    before = session.segmentation.mask().copy()
    x, y, z = volume.affine[:3, 3]
    assert not before[:, :, 0].any()
    after = session.add(Contour((float(x), float(y), float(z)), ())).mask()
    assert np.array_equal(before, after)


@pytest.mark.slow
def test_without_the_network_of_hints_one_point_brings_less_on_10_phantoms():
    predictor = load_bundle(device="cpu")
    gains = []
    for seed in range(10):
        phantom = make_phantom(seed)
        truth = phantom.structures["ctv"]
        session = Session(phantom.image, predictor)
        click = SimulatedUser(phantom.image, truth).click(session.segmentation.mask())
        together = overlap(session.add(click).mask(), truth).dice
        session.undo()
        session.network = None
        gains.append(together - overlap(session.add(click).mask(), truth).dice)
    assert np.mean(gains) > 0.001


def test_kriging_alone_answers_if_a_bundle_has_no_network_of_hints(tiny_bundle, small_phantom):
    session = Session(small_phantom.image, load_bundle(tiny_bundle))
    assert session.network is None
    x, y, z = small_phantom.image.affine[:3, :3] @ (40, 20, 4) + small_phantom.image.affine[:3, 3]
    assert session.add(Point("inside", (float(x), float(y), float(z)))).mask()[40, 20, 4]
