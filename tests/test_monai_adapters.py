"""What connects to MONAI: reader, seeded data, metrics in mm, checked overrides."""

import json

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, RandGaussianNoised

import prostate_seg
from prostate_seg import GeometryError, SettingsError
from prostate_seg.inference.overrides import check_names, check_overrides
from prostate_seg.inference.reader import cases_in, metatensor_of
from prostate_seg.training.data import EpochSampler, LoadCased, SeededDataset
from prostate_seg.training.metrics import SegmentationMetrics
from prostate_seg.writing.dicom.ultrasound import write_us

READER = "prostate_seg.inference.UltrasoundReader"


@pytest.mark.parametrize("kind", ["multiframe", "series", "series-without-positions", "enhanced-volume"])
def test_loadimaged_sees_the_pixels_and_the_affine_that_read_gives(small_phantom, tmp_path, kind):
    write_us(small_phantom.image, tmp_path / "scan", kind=kind)
    options = {"frame_spacing_mm": 5.0} if kind == "series-without-positions" else {}
    expected = prostate_seg.read(tmp_path / "scan", **options) if not options else None
    load = Compose([LoadImaged("image", reader=READER, **options), EnsureChannelFirstd("image")])
    image = load({"image": str(tmp_path / "scan")})["image"]
    if expected is None:
        from prostate_seg.reading.cases import read

        expected = read(tmp_path / "scan", frame_spacing_mm=5.0)
    assert np.array_equal(image.numpy()[0], expected.array)
    assert np.allclose(image.affine, expected.affine)


def test_a_volume_in_memory_equals_the_loaded_one(nifti_case):
    load = Compose([LoadImaged("image", reader=READER), EnsureChannelFirstd("image")])
    loaded = load({"image": str(nifti_case[0])})["image"]
    made = metatensor_of(prostate_seg.read(nifti_case[0]))
    assert torch.equal(loaded.as_tensor().float(), made.as_tensor())
    assert np.allclose(loaded.affine, made.affine)
    assert np.array_equal(loaded.meta["spatial_shape"], made.meta["spatial_shape"])


def test_a_folder_of_two_dicom_series_is_two_cases(small_phantom, tmp_path):
    for name in ("a", "b"):
        write_us(small_phantom.image, tmp_path / name, kind="series", seed=ord(name))
    assert sorted(case["case"] for case in cases_in(str(tmp_path))) == ["a", "b"]
    assert all(len(case["image"]) == 8 for case in cases_in(str(tmp_path)))


def test_a_training_case_has_image_and_label_on_one_grid(nifti_case):
    image, label = map(str, nifti_case)
    case = LoadCased()({"image": image, "label": label, "case": "scan"})
    assert case["image"].shape == case["label"].shape == (1, 80, 60, 8)
    assert np.allclose(case["image"].affine, case["label"].affine)


def test_a_label_on_another_grid_is_refused(nifti_case, tmp_path, small_phantom):
    from dataclasses import replace

    affine = np.array(small_phantom.truth.affine)
    affine[0, 3] += 3.0
    prostate_seg.write(replace(small_phantom.truth, affine=affine), tmp_path / "shifted.nii.gz")
    with pytest.raises(GeometryError, match="resample the mask onto its image"):
        LoadCased()({"image": str(nifti_case[0]), "label": str(tmp_path / "shifted.nii.gz")})


def test_sampler_and_dataset_repeat_an_epoch_exactly_and_change_the_next():
    data = [{"x": torch.zeros(1, 4, 4)} for _ in range(5)]
    dataset = SeededDataset(data, Compose([RandGaussianNoised("x", prob=1.0)]), seed=3)
    sampler = EpochSampler(dataset, seed=3)

    def run(epoch):
        sampler.epoch = epoch
        return torch.stack([torch.as_tensor(dataset[index]["x"]) for index in sampler])

    first, second, again = run(0), run(1), run(0)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    sampler.epoch = 7
    assert sorted(index % 5 for index in sampler) == [0, 1, 2, 3, 4]
    assert all(index // 5 == 7 for index in sampler)


def cube(start, shape=(20, 20, 20), spacing=(1.0, 1.0, 2.0)):
    array = torch.zeros(1, *shape)
    array[:, start : start + 6, 5:11, 5:11] = 1
    return MetaTensor(array, affine=torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64)))


def test_a_cube_shifted_by_two_voxels_of_1_mm_has_hausdorff_distance_2_mm():
    metric = SegmentationMetrics(output_transform=lambda x: x)
    metric.reset()
    metric.update(([cube(5)], [cube(7)]))
    means = metric.compute()
    assert means["hd_mm"] == pytest.approx(2.0)
    assert means["dice"] == pytest.approx(4 / 6)


def test_a_missed_case_counts_as_the_images_diagonal_and_worsens_the_mean():
    metric = SegmentationMetrics(output_transform=lambda x: x)
    engine = Engine(lambda engine, batch: batch)
    metric.attach(engine, "val_dice")
    empty = cube(5) * 0
    engine.run([([cube(5), empty], [cube(5), cube(5)])])
    diagonal = np.sqrt(20**2 + 20**2 + 40**2)
    assert engine.state.metrics["hd95_mm"] == pytest.approx(diagonal / 2)
    assert engine.state.metrics["val_dice"] == pytest.approx(0.5)


CONFIG = {"epochs": 3, "train": {"trainer": {"max_epochs": 5}, "handlers": [{"interval": 1}]}}


@pytest.mark.parametrize("name", ["epochs", "train::trainer::max_epochs", "train#handlers#0#interval"])
def test_settings_that_exist_may_be_overridden(name):
    check_names({name: 1}, CONFIG)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("epohcs", "no setting named epohcs; did you mean epochs\\?"),
        ("train::trainer::max_epohcs", "did you mean train::trainer::max_epochs\\?"),
        ("train::handlers::3::interval", "no setting named train::handlers::3::interval"),
    ],
)
def test_a_misspelt_setting_stops_the_run_and_names_the_closest(name, text):
    with pytest.raises(SettingsError, match=text):
        check_names({name: 1}, CONFIG)


def test_overrides_are_read_from_the_command_line_of_the_bundle_run(repository):
    config = str(repository / "bundles/prostate_us_segmenter/configs/train.json")
    for accepted in (
        ["--phantoms", "3", "--bundle_root=x"],
        ["--val-interval", "3"],
        ["--loss::label_smoothing", "0.1"],
    ):
        check_overrides(["run", "training", "--config_file", config, *accepted])


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "training", "--config_file", "CONFIG", "--phantomz", "3"],
        ["run", "training", "--config_file", "CONFIG", "-phantomz", "3"],
        ["run", "training", "--config-file", "CONFIG", "--phantomz=3"],
        ["run", "training", "None", "None", "None", "CONFIG", "--phantomz", "3"],
        ["run", "training", "--config_file", "['CONFIG']", "--phantomz", "3"],
        ["run", "training", "--config_file", "CONFIG", "--train::trainer", "{'max_epohcs': 3}"],
        ["run", "training", "--args_file", "ARGS"],
    ],
    ids=["two dashes", "one dash", "hyphen", "positional", "list", "dict", "args file"],
)
def test_no_form_of_the_command_line_slips_a_misspelt_name_through(repository, tmp_path, arguments):
    config = str(repository / "bundles/prostate_us_segmenter/configs/train.json")
    (tmp_path / "args.json").write_text(json.dumps({"config_file": config, "phantomz": 3}))
    arguments = [text.replace("CONFIG", config).replace("ARGS", str(tmp_path / "args.json")) for text in arguments]
    with pytest.raises(
        SettingsError, match=r"no setting named (phantomz|train::trainer::max_epohcs); did you mean"
    ):
        check_overrides(arguments)
