"""Further structures: their network, its loss with partial labels, and masks on the source's grid."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from prostate_seg import load_bundle
from prostate_seg.errors import BundleError, GeometryError, SettingsError
from prostate_seg.geometry.structures import KNOWN
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.inference import ScaleFlipInferer, initialise
from prostate_seg.inference.further import load_further
from prostate_seg.inference.released import released_bundle
from prostate_seg.inference.settings import read_settings
from prostate_seg.inference.structure_network import (
    StructureNetwork,
    without_islands,
)
from prostate_seg.network import ConvStem, MultiLabelSegmenter, Segmenter, SkipDecoder, VisionTransformer
from prostate_seg.phantom import make_phantom
from prostate_seg.training import PartialLabelLoss, StructureDice
from prostate_seg.training.data import LoadCased
from prostate_seg.training.partial_labels import structure_loss

ZONES = (KNOWN["peripheral_zone"], KNOWN["transition_zone"])


def small(classes, **options):
    return SkipDecoder(16, classes, [8, 8], axes=3, **options)


def segmenter(kind=MultiLabelSegmenter, classes=4, depth=1):
    stem = ConvStem(1, 16, (4, 4, 4), channels=[8, 8])
    return kind(VisionTransformer((8, 8, 8), stem, depth=depth, heads=2), small(classes, voxels=(2, 2, 2)))


def network_of(structures):
    """A network that is never called: its masks are tested with probabilities."""
    return StructureNetwork(torch.nn.Identity(), None, structures, structures, {}, "")


def test_logits_with_voxels_have_the_size_of_the_image_without_interpolation():
    assert segmenter()(torch.rand(2, 1, 9, 8, 5)).shape == (2, 4, 9, 8, 5)
    maps = [torch.rand(1, 8, 4, 4, 4), torch.rand(1, 8, 2, 2, 2)]
    assert small(3, voxels=(2, 2, 2))(torch.rand(1, 8, 16), (2, 2, 2), maps).shape == (1, 3, 8, 8, 8)


def test_probabilities_are_a_softmax_of_the_first_two_channels_and_sigmoids_of_the_others():
    logits = torch.zeros(1, 4, 1, 1, 1)
    logits[0, 3] = torch.log(torch.tensor(3.0))
    found = MultiLabelSegmenter.probabilities(logits)[0, :, 0, 0, 0]
    assert found.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.75])


def test_the_inferer_gives_overlapping_structures_probabilities_of_their_own():
    inferer = ScaleFlipInferer(SlidingWindowInferer((8, 8, 8), 1), flip_axes=(0,))
    found, each = inferer.collect(torch.rand(1, 1, 8, 8, 8), segmenter().eval())
    assert found.shape == (1, 4, 8, 8, 8)
    assert torch.allclose(found[:, :2].sum(dim=1), torch.ones(1, 8, 8, 8), atol=1e-5)
    assert not torch.allclose(found.sum(dim=1), torch.ones(1, 8, 8, 8), atol=0.1)
    assert torch.allclose(each.mean(dim=0), found[:, 1], atol=1e-5)


def test_weights_of_the_ctv_alone_start_a_network_of_structures_but_for_head_and_blocks(tmp_path):
    one = segmenter(Segmenter, 2)
    torch.save(one.state_dict(), tmp_path / "ctv.pt")
    whole = segmenter()
    before = whole.decoder.head.weight.clone()
    initialise(whole, str(tmp_path / "ctv.pt"))
    assert torch.equal(whole.encoder.pos_embed, one.encoder.pos_embed)
    assert torch.equal(whole.decoder.join.weight, one.decoder.join.weight)
    assert torch.equal(whole.decoder.head.weight, before)
    flat = segmenter(depth=0)
    initialise(flat, str(tmp_path / "ctv.pt"))
    assert torch.equal(flat.encoder.pos_embed, one.encoder.pos_embed)
    with pytest.raises(BundleError, match=r"decoder\.head"):
        initialise(segmenter(Segmenter, 4), str(tmp_path / "ctv.pt"))


def test_an_unlabelled_structure_gives_no_loss_and_a_labelled_one_half_wrong_gives_that_of_its_case():
    logits = torch.full((2, 1, 2, 1, 1), 20.0)
    target = torch.tensor([[1.0, 0.0], [-1.0, -1.0]]).reshape(2, 1, 2, 1, 1)
    shown = torch.tensor([[True], [False]])
    # Dice: 2 * 1 / (2 + 1) = 2/3; entropy: a wrong voxel costs 20, a right one nothing
    assert float(structure_loss(logits, target, shown)) == pytest.approx(1 / 3 + 10, rel=1e-4)
    assert float(structure_loss(logits, target, torch.zeros(2, 1, dtype=torch.bool))) == 0


def test_the_loss_is_that_of_the_ctv_where_only_it_is_labelled():
    """The loss of the CTV gets no case if none labels it; it must take that."""
    loss = PartialLabelLoss(lambda logits, target: (logits[:, 1:] - target).square().sum() / max(1, target.numel()))
    logits, target = torch.zeros(1, 4, 2, 2, 2), torch.full((1, 3, 2, 2, 2), -1.0)
    target[:, 0] = 1.0
    assert float(loss(logits, target)) == 1.0
    target[:, 0] = -1.0
    assert float(loss(logits, target)) == 0.0
    with pytest.raises(SettingsError, match="gives 2 structures beside the CTV, the labels have 1"):
        loss(logits, target[:, :2])


def test_the_dice_of_a_structure_is_the_mean_over_the_cases_that_label_it():
    metric = StructureDice(lambda output: output, ["urethra"])
    pred = torch.zeros(3, 4, 1, 1)
    pred[1:, :2] = 1
    label = torch.zeros(2, 4, 1, 1)
    label[:, 1:3] = 1
    unlabelled = label.clone()
    unlabelled[1] = -1
    metric.update(([pred, pred], [label, unlabelled]))
    assert metric.compute() == {"CTV": 0.5, "urethra": 0.5}
    assert metric.rows == [[0.5, 0.5], [0.5, None]]


def test_a_case_without_masks_of_a_structure_has_minus_one_in_its_channel():
    load = LoadCased(structures=["urethra", "balloon"])
    label = load({"phantom": 3, "case": "phantom3"})["label"]
    phantom = make_phantom(3)
    assert label.shape[0] == 3
    assert int(label[1].sum()) == np.count_nonzero(phantom.structures["urethra"])
    assert (label[2] == -1).all()


def image_of(shape, spacing):
    """An image on the model's grid of 1.6 mm whose source has another spacing along the same axes."""
    affine = np.diag([1.6, 1.6, 2.0, 1.0])
    source = np.diag([*spacing, 1.0])
    image = MetaTensor(torch.ones(1, *shape), affine=torch.as_tensor(affine))
    image.meta["original_affine"] = source
    return image


def test_zones_fill_the_ctv_and_never_overlap_even_where_both_are_improbable():
    branch = network_of(ZONES)
    probability = torch.zeros(2, 10, 10, 10)
    probability[0, :5], probability[1, 5:] = 0.4, 0.3
    ctv = np.zeros((20, 20, 20), bool)
    ctv[4:16, 4:16, 4:16] = True
    masks = branch.masks(probability, image_of((10, 10, 10), (0.8, 0.8, 1.0)), ctv)
    first, second = masks["Peripheral zone"], masks["Transition zone"]
    assert np.array_equal(first | second, ctv)
    assert not (first & second).any()
    assert first[4:9].any()
    assert not first[12:].any()


def test_an_organ_lies_outside_the_ctv_and_is_placed_on_the_source_grid():
    bladder = (KNOWN["bladder"],)
    probability = torch.zeros(1, 10, 10, 10)
    probability[0, 2:6, 2:6, 2:6] = 1.0
    ctv = np.zeros((10, 10, 10), bool)
    ctv[5] = True
    mask = network_of(bladder).masks(probability, image_of((10, 10, 10), (1.6, 1.6, 2.0)), ctv)
    expected = np.zeros_like(ctv)
    expected[2:5, 2:6, 2:6] = True
    assert np.array_equal(mask["Bladder"], expected)


def test_islands_below_a_tenth_of_the_largest_component_are_removed():
    mask = np.zeros((10, 10, 1), bool)
    mask[:5, :4], mask[7, 7], mask[9, 0:2] = True, True, True
    kept = without_islands(mask)
    assert np.count_nonzero(kept) == 22
    assert not kept[7, 7, 0]
    assert np.array_equal(without_islands(mask & False), mask & False)


def test_a_lesion_lies_inside_its_zone_and_a_target_may_lie_anywhere():
    lesion = replace(KNOWN["urethra"], name="Lesion", label=90, parent="Peripheral zone")
    target = replace(KNOWN["gtv"], parent=None)
    rows = (lesion, *ZONES, target)
    probability = torch.zeros(4, 10, 10, 10)
    probability[0, 4:8], probability[1, :5], probability[2, 5:], probability[3, :, :2] = 1.0, 0.9, 0.9, 1.0
    ctv = np.zeros((10, 10, 10), bool)
    ctv[2:8, 1:8, 2:8] = True
    found = StructureNetwork(torch.nn.Identity(), None, rows, (lesion, target), {}, "").masks(
        probability, image_of((10, 10, 10), (1.6, 1.6, 2.0)), ctv
    )
    assert list(found) == ["Lesion", "GTV"]
    assert np.array_equal(np.flatnonzero(found["Lesion"].any(axis=(1, 2))), [4])
    assert found["GTV"].all(axis=(0, 2)).tolist() == [True, True, *[False] * 8]


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 1.0), (0.5, 0.7, 4.0), (1.6, 1.6, 2.0)])
def test_a_box_around_a_structure_gives_the_same_mask_as_the_whole_grid(spacing):
    torch.manual_seed(1)
    bladder = (KNOWN["bladder"],)
    probability = torch.rand(1, 6, 7, 8).round()
    image = image_of((6, 7, 8), spacing)
    shape = tuple(int(n * old / new) for n, old, new in zip((6, 7, 8), (1.6, 1.6, 2.0), spacing, strict=True))
    from prostate_seg.inference.resampling import resample_axes

    whole = resample_axes(probability[0], np.asarray(image.affine), image.meta["original_affine"], shape) >= 0.5
    mask = network_of(bladder).masks(probability, image, np.zeros(shape, bool))["Bladder"]
    assert np.array_equal(mask, without_islands(whole.numpy()))


def further(names, bundle=None):
    place = Path(bundle or released_bundle())
    return load_further(place, names, read_settings(Path(released_bundle())), torch.device("cpu"))


def loaded(names, bundle=None):
    return further(names, bundle).structures


def test_the_ctv_is_the_same_with_and_without_further_structures():
    volume = make_phantom(12, shape=(80, 70, 24), spacing_mm=(1.0, 1.0, 2.0)).image
    alone, more = load_bundle()(volume), load_bundle(structures="all")(volume)
    assert np.array_equal(alone.labels, more.labels)
    assert np.array_equal(alone.probability, more.probability)
    assert list(more.structures) == [one.name for one in loaded("all").structures]
    assert more.phantom_trained == tuple(more.structures)
    assert more.things == ()


def test_names_choose_structures_and_a_wrong_one_is_listed():
    assert [one.name for one in loaded(["urethra", "CTV"]).wanted] == ["Urethra"]
    with pytest.raises(SettingsError, match="There is no structure balloon; expected all, or some of CTV, Per"):
        loaded(["balloon"])
    assert further("ctv") is None


def test_a_bundle_of_the_ctv_alone_says_so(tmp_path):
    with pytest.raises(BundleError, match=r"segments the CTV alone: it has no configs/structures\.json"):
        loaded("all", tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learnt_on": {"Urethra": "dogs"}}, "does not say of each structure whether it was learnt on phantoms or"),
        ({"structures": ["Urethra"], "learnt_on": {"Urethra": "phantoms"}}, "no MultiLabelSegmenter of 3 classes"),
        ({"structures": ["Balloon"]}, "names 'Balloon', which is none of"),
        ({"network_def": {"_target_": "os.system"}}, "asks for 'os.system', which is not allowed here"),
    ],
)
def test_a_bad_list_of_a_bundle_gives_one_sentence(tmp_path, change, message):
    content = json.loads((Path(released_bundle()) / "configs/structures.json").read_text())
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/structures.json").write_text(json.dumps(content | change))
    with pytest.raises(BundleError, match=message):
        loaded("all", tmp_path)


def test_a_list_without_weights_says_which_file_is_missing(tmp_path):
    shutil.copytree(Path(released_bundle()) / "configs", tmp_path / "configs")
    with pytest.raises(BundleError, match=r"structures\.pt is missing"):
        loaded("all", tmp_path)


def test_a_segmentation_refuses_a_structure_of_another_grid_and_a_name_twice():
    labels = np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(GeometryError, match=r"The structure Urethra is bool of shape \(2, 2, 3\)"):
        Segmentation(labels, np.eye(4), structures={"Urethra": np.zeros((2, 2, 3), bool)})
    with pytest.raises(GeometryError, match="Two structures are called ctv"):
        Segmentation(labels, np.eye(4), structures={"ctv": np.zeros((2, 2, 2), bool)})
