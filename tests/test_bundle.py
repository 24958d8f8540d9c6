"""The bundle: built from literals, run by MONAI, and the same masks both ways."""

import json
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from prostate_seg import BundleError, InputError, SettingsError, load_bundle, read
from prostate_seg.cli import main
from prostate_seg.inference.devices import choose_device
from prostate_seg.inference.predictor import build
from prostate_seg.phantom import make_phantom
from prostate_seg.writing import write
from prostate_seg.writing.dicom.ultrasound import write_us


def monai(*arguments, folder):
    command = [sys.executable, "-m", "monai.bundle", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_segment_and_monais_run_of_inference_json_give_the_same_mask_of_a_dicom_folder(
    tiny_bundle, small_phantom, tmp_path
):
    for study in ("study1", "study2"):  # their files have equal names
        write_us(small_phantom.image, tmp_path / "data" / study, kind="series")
    configs = tiny_bundle / "configs"
    done = monai(
        "run", "--config_file", configs / "inference.json", "--bundle_root", tiny_bundle,
        "--dataset_dir", tmp_path / "data", "--output_dir", tmp_path / "out", folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    paths = sorted((tmp_path / "out").glob("*.nii.gz"))
    assert [path.name for path in paths] == ["study1_ctv.nii.gz", "study2_ctv.nii.gz"]
    image = nibabel.load(paths[0])
    volume = read(tmp_path / "data" / "study1")
    ctv = load_bundle(tiny_bundle)(volume)
    assert ctv.labels.any()
    assert np.array_equal(np.asarray(image.dataobj), ctv.labels)
    assert np.allclose(image.affine, volume.affine, atol=1e-4)


def test_monais_own_check_finds_every_property_of_training_inference_and_evaluation(tiny_bundle, tmp_path):
    configs = tiny_bundle / "configs"
    (tmp_path / "data").mkdir()
    files = {"train": ["train"], "infer": ["inference", "evaluate"]}
    for kind, names in files.items():
        workflow = ConfigWorkflow(
            config_file=[str(configs / f"{name}.json") for name in names],
            meta_file=str(configs / "metadata.json"), workflow_type=kind, bundle_root=str(tiny_bundle),
            phantoms=1, **({"validation_phantoms": 1, "ckpt_dir": str(tmp_path)} if kind == "train" else {}),
        )  # fmt: skip
        workflow.initialize()
        assert not workflow.check_properties()


def test_evaluate_json_writes_the_tables_that_segment_and_evaluate_write(tiny_bundle, tmp_path):
    for seed in (5, 6):
        phantom = make_phantom(seed, shape=(60, 50, 8), spacing_mm=(1.6, 1.6, 5.0))
        for folder, item in (("images", phantom.image), ("labels", phantom.truth)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write(item, tmp_path / folder / f"p{seed}.nii.gz")
    entries = [
        {"case": f"p{seed}", "patient": "one", "image": f"images/p{seed}.nii.gz", "label": f"labels/p{seed}.nii.gz"}
        for seed in (5, 6)
    ]
    (tmp_path / "cases.json").write_text(json.dumps({"training": [], "validation": entries}))
    configs = tiny_bundle / "configs"
    done = monai(
        "run", "evaluating", "--config_file", f"['{configs / 'inference.json'}','{configs / 'evaluate.json'}']",
        "--bundle_root", tiny_bundle, "--datalist", tmp_path / "cases.json", "--output_dir", tmp_path / "by_monai",
        folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "hd95_mm" in done.stdout + done.stderr
    segmented, evaluated = str(tmp_path / "segmented"), str(tmp_path / "by_us")
    images, labels = str(tmp_path / "images"), str(tmp_path / "labels")
    assert main(["segment", images, "-o", segmented, "--format", "nifti", "--bundle", str(tiny_bundle)]) == 0
    (tmp_path / "patients.csv").write_text("case,patient\np5,one\np6,one\n")
    assert main(["evaluate", segmented, labels, "-o", evaluated, "--patients", str(tmp_path / "patients.csv")]) == 0
    ours, theirs = ((tmp_path / name / "metrics.csv").read_text() for name in ("by_us", "by_monai"))
    assert ours == theirs
    assert ours.count("\n") == 3
    assert (tmp_path / "by_monai" / "report.html").is_file()


def test_the_metadata_pass_monais_verification_offline(repository):
    bundle = repository / "bundles" / "prostate_us_segmenter"
    schema = bundle / "docs" / "metadata.schema.json"
    done = monai(
        "verify_metadata", "--meta_file", bundle / "configs/metadata.json", "--filepath", schema, folder=repository
    )
    assert done.returncode == 0, done.stderr[-2000:]
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    assert metadata["version"] in metadata["changelog"]


def test_the_network_takes_and_gives_what_the_metadata_say(repository):
    configs = repository / "bundles" / "prostate_us_segmenter" / "configs"
    done = monai(
        "verify_net_in_out", "network_def", "--meta_file", configs / "metadata.json",
        "--config_file", configs / "inference.json", "--device", "cpu", folder=repository,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_training_and_inference_describe_one_network(repository):
    configs = repository / "bundles" / "prostate_us_segmenter" / "configs"
    train, inference = (json.loads((configs / f"{name}.json").read_text()) for name in ("train", "inference"))
    assert train["network_def"] == inference["network_def"]
    assert train["prepare"][1:3][0]["axcodes"] == inference["preprocessing"]["transforms"][2]["axcodes"] == "LPS"
    grids = [step["spacing_mm"] for step in (*train["prepare"], *inference["preprocessing"]["transforms"])
             if "spacing_mm" in step]  # fmt: skip
    assert grids == [[1.6, 1.6, 2.0]] * 2


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({"_target_": "os.system", "command": "true"}, "asks for 'os.system', which is not allowed"),
        ({"_target_": "prostate_seg.network.ConvStem", "width": "$2**9"}, "only a literal may stand"),
        ({"_target_": "prostate_seg.network.ConvStem", "width": "@width"}, "only a literal may stand"),
        (
            {"_target_": "AsDiscreted", "keys": "pred", "_disabled_": True},
            "uses _disabled_, which is not understood",
        ),
        ({"_target_": ["AsDiscreted"]}, "which is not allowed"),
        ({"_target_": "prostate_seg.network.ConvStem", "breadth": 3}, "settings of .*ConvStem do not fit"),
    ],
)
def test_a_bundle_can_ask_only_for_what_is_allowed_and_only_in_literals(definition, text):
    with pytest.raises(BundleError, match=text):
        build(definition)


def test_a_folder_that_is_no_bundle_and_a_bundle_without_weights_are_named(tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match="is no bundle"):
        load_bundle(tmp_path)
    shutil.copytree(tiny_bundle / "configs", tmp_path / "configs")
    with pytest.raises(BundleError, match=r"has no weights: .*model\.pt is missing"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no weights", None], ids=["empty", "text", "cut"])
def test_damaged_weights_are_one_sentence(tiny_bundle, tmp_path, content):
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    weights = folder / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes()[:5000] if content is None else content)
    with pytest.raises(BundleError, match=r"model\.pt"):
        load_bundle(folder)


def test_weights_of_another_network_are_refused(tiny_bundle, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    torch.save({"something": torch.zeros(3)}, folder / "models" / "model.pt")
    with pytest.raises(BundleError, match="something"):
        load_bundle(folder)


def test_a_bundle_that_would_not_bring_the_mask_to_its_images_grid_is_refused(tiny_bundle, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, folder)
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config["postprocessing"]["transforms"] = config["postprocessing"]["transforms"][3:]
    path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match=r"must hold prostate_seg.inference.ToSourceGridd once"):
        load_bundle(folder)


def test_a_missing_device_is_said_and_auto_is_the_cpu_without_a_gpu():
    if torch.cuda.is_available():
        assert choose_device("auto").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        with pytest.raises(SettingsError, match="There is no device cuda here, only cpu"):
            choose_device("cuda")


def test_ensembling_none_is_one_pass_flip_two_and_full_six(tiny_bundle):
    passes = {}
    for name in ("none", "flip", "full"):
        inferer = load_bundle(tiny_bundle, ensembling=name).inferer
        passes[name] = len(inferer.scales) * len(inferer.flips)
    assert passes == {"none": 1, "flip": 2, "full": 6}
    with pytest.raises(SettingsError, match="none, flip or full"):
        load_bundle(tiny_bundle, ensembling="both")


def test_a_single_slice_and_a_volume_without_echoes_are_segmented_on_their_own_grid(tiny_bundle):
    from dataclasses import replace

    from prostate_seg.phantom import make_phantom

    predictor = load_bundle(tiny_bundle)
    image = make_phantom(5, shape=(80, 60, 8), spacing_mm=(1.2, 1.2, 5.0)).image
    with pytest.raises(InputError, match="black everywhere"):
        predictor(replace(image, array=np.zeros((80, 60, 8), np.uint8)))
    shifted = replace(image, array=image.array.astype(np.float32) - 100)
    assert np.array_equal(predictor(shifted).labels, predictor(image).labels)
    single = replace(image, array=image.array[..., 3:4])
    assert predictor(single).labels.shape == (80, 60, 1)
    assert predictor(image).probability.shape == (80, 60, 8)
