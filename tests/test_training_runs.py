"""Runs of training begun again, short ones, ones of another network; what a datalist may say."""

import json
import shutil

import numpy as np
import pytest
import torch

from prostate_seg import SettingsError, load_bundle, read
from prostate_seg.cli import main
from prostate_seg.training.data import LoadCased
from prostate_seg.training.datalist import load
from prostate_seg.training.plan import Extra, plan
from prostate_seg.training.run import train
from prostate_seg.writing.dicom.ultrasound import write_us

pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture(scope="module")
def cases(nifti_case, tmp_path_factory):
    """A datalist of one case on either side."""
    folder = tmp_path_factory.mktemp("cases")
    shutil.copyfile(nifti_case[0], folder / "other.nii.gz")
    case = {"image": str(nifti_case[0]), "label": str(nifti_case[1])}
    sections = {"training": [case], "validation": [case | {"image": "other.nii.gz"}]}
    (folder / "cases.json").write_text(json.dumps(sections))
    return folder / "cases.json"


def planned(run, cases, bundle, **settings):
    settings = {"amp": False, "batch_size": 1, "train::trainer::max_epochs": 1} | settings
    return plan(run, datalist=cases, init="none", bundle=bundle, settings=settings)


@pytest.fixture(scope="module")
def finished(tiny_bundle, cases, tmp_path_factory):
    """A run of 4 epochs by the command, and its output."""
    run = tmp_path_factory.mktemp("finished") / "run"
    arguments = ["train", "--data", str(cases), "-o", str(run), "--bundle", str(tiny_bundle), "--init", "none"]
    arguments += ["--set", "amp=false", "--set", "batch_size=1"]
    return run, arguments, main([*arguments, "--epochs", "4"])


def test_house_19_a_run_of_4_epochs_validates_each_by_its_plan_and_gives_a_bundle(finished, small_phantom):
    run, _, status = finished
    assert status == 0
    assert json.loads((run / "settings.json").read_text())["val_interval"] == 1
    assert load_bundle(run / "bundle")(small_phantom.image).labels.shape == (80, 60, 8)


def test_house_19_an_interval_of_5_for_4_epochs_is_refused(tiny_bundle, cases, tmp_path):
    with pytest.raises(SettingsError, match="val_interval is 5, but the run has 4 epochs"):
        planned(tmp_path, cases, tiny_bundle, val_interval=5, **{"train::trainer::max_epochs": 4})
    assert (
        "val_interval" not in planned(tmp_path, cases, tiny_bundle, **{"train::trainer::max_epochs": 5}).overrides
    )


def test_house_18_a_finished_run_with_another_learning_rate_is_refused_and_its_settings_stay(finished, capsys):
    run, arguments, _ = finished
    before = (run / "settings.json").read_bytes()
    assert main([*arguments, "--epochs", "4", "--set", "learning_rate=0.5"]) == 2
    said = capsys.readouterr().err
    assert "settings.json tells of a run with other cases or settings (learning_rate None, now 0.5)" in said
    assert "give those again, or another -o" in said
    assert (run / "settings.json").read_bytes() == before


def test_house_18_an_unfinished_run_does_not_go_on_with_a_datalist_that_was_changed_since(
    tiny_bundle, cases, tmp_path
):
    datalist = tmp_path / "cases.json"
    content = json.loads(cases.read_text())
    content["validation"][0]["image"] = str(cases.parent / "other.nii.gz")
    datalist.write_text(json.dumps(content))
    train(planned(tmp_path / "run", datalist, tiny_bundle))
    shutil.rmtree(tmp_path / "run" / "bundle")  # as if it had ended before
    planned(tmp_path / "run", datalist, tiny_bundle)
    datalist.write_text(json.dumps(content | {"description": "changed"}))
    with pytest.raises(SettingsError, match=r"other cases or settings \(datalist_sha256 '\w+', now '\w+'\)"):
        planned(tmp_path / "run", datalist, tiny_bundle)


def test_house_18_a_run_that_never_began_its_first_epoch_takes_other_settings(tiny_bundle, cases, tmp_path):
    (tmp_path / "settings.json").write_text('{"learning_rate": 0.5}')
    assert planned(tmp_path, cases, tiny_bundle, learning_rate=0.1).overrides["learning_rate"] == 0.1


def test_house_6_a_bundle_of_2_blocks_instead_of_1_can_be_trained_on(tiny_bundle, cases, tmp_path):
    folder = train(planned(tmp_path / "first", cases, tiny_bundle, **{"network_def::encoder::depth": 2}))
    for name in ("train.json", "inference.json"):
        assert json.loads((folder / "configs" / name).read_text())["network_def"]["encoder"]["depth"] == 2
    on = plan(
        tmp_path / "second", datalist=cases, bundle=folder,
        settings={"amp": False, "batch_size": 1, "train::trainer::max_epochs": 1},
    )  # fmt: skip
    assert load_bundle(train(on)).network.encoder.blocks[1] is not None


def written(folder, case, **sections):
    for name in ("a.nii.gz", "b.nii.gz", "l.nii.gz"):
        (folder / name).touch()
    path = folder / "list.json"
    path.write_text(json.dumps({"training": [case], **sections}))
    return path


CASE = {"image": "a.nii.gz", "label": "l.nii.gz"}


def test_house_21_a_datalist_gives_frame_order_and_probe_side_of_a_file_with_frames_5_mm_apart(
    small_phantom, tmp_path
):
    (image,) = write_us(small_phantom.image, tmp_path / "cine", kind="multiframe")
    options = {"frame_spacing_mm": 5.0, "frame_order": "base-to-apex", "probe_side": "top"}
    (case,) = load(written(tmp_path, {**CASE, "image": str(image), **options}))["training"]
    loaded = LoadCased()({key: value for key, value in case.items() if key != "label"})
    expected = read(image, **options)
    assert np.allclose(loaded["image"].affine, expected.affine)
    assert not np.allclose(expected.affine, read(image, frame_spacing_mm=5.0).affine)
    assert expected.spacing_mm[2] == pytest.approx(5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"frame_order": "up"}, "training case 0 of .*: The frame order is 'up', expected 'base-to-apex' or"),
        ({"probe_side": "left"}, "The probe side is 'left', expected 'bottom' or 'top'"),
        ({"probe_side": ["top"]}, r"has probe_side \['top'\], expected a word"),
        ({"frame_spacing_mm": 1e308}, r"The frame spacing is 1e\+308 mm, expected 0.01 to 100 mm"),
        ({"frame_spacing_mm": None}, "has frame_spacing_mm None, expected a length"),
        ({"image": 5}, "has 5 as image, expected the path of a file"),
        ({"image": "x" * 5000}, "names 'xxx.* as image, which does not exist"),
        ({"image": "\0"}, "as image, which does not exist"),
        ({"label": "a.nii.gz"}, "names one file as image and label"),
        ({"case": ["a"]}, r"has case \['a'\], expected a name"),
        ({"patient": True}, "has a bool as patient, expected a name"),
    ],
)
def test_house_21_a_case_that_says_something_odd_is_refused_before_training(tmp_path, change, text):
    with pytest.raises(SettingsError, match=text):
        load(written(tmp_path, CASE | change))


def test_d1_a_datalist_with_one_image_twice_a_name_twice_or_nan_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"has the image .*a.nii.gz twice in validation"):
        load(written(tmp_path, CASE | {"image": "b.nii.gz"}, validation=[CASE, CASE]))
    path = tmp_path / "list.json"
    for text, why in (
        ('{"training": [], "training": []}', "the name 'training' stands twice"),
        ('{"training": [{"image": "a.nii.gz", "label": "l.nii.gz", "frame_spacing_mm": NaN}]}', "holds NaN"),
        ('{"training": ' + "[" * 100_000 + "}", "nested too deeply"),
    ):
        path.write_text(text)
        with pytest.raises(SettingsError, match=rf"list.json is not JSON: .*{why}"):
            load(path)


@pytest.fixture(scope="module")
def other_encoder(tiny_bundle, tmp_path_factory):
    """The encoder of the tiny bundle with all blocks changed, as another network's file."""
    state = torch.load(tiny_bundle / "models" / "model.pt", weights_only=True)
    own = {
        name.removeprefix("encoder."): value + 0.01 for name, value in state.items() if name.startswith("encoder.")
    }
    path = tmp_path_factory.mktemp("other") / "vit.pth"
    torch.save({"model": own}, path)
    return path


def test_a_run_from_another_encoder_says_what_fitted_and_resumes(
    tiny_bundle, cases, other_encoder, tmp_path, capsys
):
    run = [
        "train",
        "--data",
        str(cases),
        "-o",
        str(tmp_path / "run"),
        "--bundle",
        str(tiny_bundle),
        "--epochs",
        "1",
    ]
    run += ["--init-encoder", str(other_encoder), "--set", "amp=false", "--set", "batch_size=1"]
    assert main(run) == 0
    assert "parameters start the encoder; 0 of its own keep their start." in capsys.readouterr().err
    start = torch.load(tmp_path / "run" / "start.pt", weights_only=True)
    given = torch.load(other_encoder, weights_only=True)["model"]
    assert torch.equal(start["encoder.norm.bias"], given["norm.bias"].float())
    bytes_before = (tmp_path / "run" / "start.pt").read_bytes()
    assert main(run) == 0
    assert main([*run, "--set", "seed=3"]) == 2
    assert "other cases or settings (seed None, now 3)" in capsys.readouterr().err
    assert (tmp_path / "run" / "start.pt").read_bytes() == bytes_before


def test_an_encoder_that_is_absent_or_does_not_fit_leaves_no_folder(tiny_bundle, cases, tmp_path, capsys):
    run = ["train", "--data", str(cases), "-o", str(tmp_path / "run"), "--bundle", str(tiny_bundle)]
    assert main([*run, "--init-encoder", str(tmp_path / "absent.pth")]) == 2
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    assert main([*run, "--init-encoder", str(tmp_path / "other.pth")]) == 2
    (tmp_path / "vit.safetensors").write_bytes(b"x")
    assert main([*run, "--init-encoder", str(tmp_path / "vit.safetensors")]) == 2
    assert main([*run, "--init-encoder", str(tmp_path / "absent.pth"), "--set", "seed=abc"]) == 2
    err = capsys.readouterr().err
    for part in ("no weights at", "Neither a transformer block", "is a safetensors file", "seed is 'abc'"):
        assert part in err
    assert not (tmp_path / "run").exists()


def test_nested_settings_count_for_a_run_from_another_encoder(tiny_bundle, cases, other_encoder, tmp_path):
    deeper = {"network_def::encoder::depth": 3}
    found = plan(
        tmp_path / "run",
        datalist=cases,
        init="none",
        extra=Extra(other_encoder),
        bundle=tiny_bundle,
        settings=deeper,
    )
    assert "blocks.2.norm1.weight" in found.start[1].random


def test_members_of_an_ensemble_from_another_encoder_have_different_decoders(
    tiny_bundle, cases, other_encoder, tmp_path
):
    first, second = (
        plan(
            tmp_path,
            datalist=cases,
            init="none",
            extra=Extra(other_encoder),
            bundle=tiny_bundle,
            settings={"seed": n},
        )
        for n in (0, 1)
    )
    name = "decoder.join.weight"
    assert not torch.equal(first.start[0][name], second.start[0][name])
    assert torch.equal(first.start[0]["encoder.norm.bias"], second.start[0]["encoder.norm.bias"])
