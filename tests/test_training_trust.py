"""Training from a bundle of others: none of its code runs unless it is trusted; what is missing is named."""

import json
import shutil

import pytest

from prostate_seg import BundleError, SettingsError
from prostate_seg.cli import main
from prostate_seg.training.plan import plan

pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture
def stranger(tiny_bundle, tmp_path):
    """A copy of the tiny bundle, and how to change one of its files."""
    folder = tmp_path / "stranger"
    shutil.copytree(tiny_bundle, folder)

    def change(name, how):
        path = folder / "configs" / name
        content = json.loads(path.read_text())
        how(content)
        path.write_text(json.dumps(content))
        return folder

    return change


def mark(path):
    return f"$open({str(path)!r}, 'w').close()"


def evil_expression(path):
    return lambda config: config["initialize"].append(mark(path))


def evil_target(path):
    def change(config):
        config["loss"] = {"_target_": "os.mkdir", "path": str(path)}

    return change


def evil_import(path):
    return lambda config: config["imports"].append("$import antigravity")


def evil_macro(path):
    return lambda config: config.update(datalist="%/etc/passwd")


def evil_mode(path):
    return lambda config: config["optimizer"].update(_mode_="debug")


def evil_folder(path):
    return lambda config: config["validate"]["handlers"][1].update(folder=str(path))


def evil_network(path):
    return lambda config: config.update(network_def={"_target_": "os.mkdir", "path": str(path)})


def evil_nested(path):
    return lambda config: config["network_def"]["encoder"].update(depth=mark(path))


@pytest.mark.parametrize(
    ("evil", "text"),
    [
        (evil_expression, r"train.json holds .*open.* as initialize::4"),
        (evil_target, r"train.json holds 'os.mkdir' as loss::_target_"),
        (evil_import, r"train.json holds '\$import antigravity' as imports::3"),
        (evil_macro, r"train.json holds '%/etc/passwd' as datalist"),
        (evil_mode, r"train.json holds 'debug' as optimizer::_mode_"),
        (evil_folder, r"train.json holds .*mark.* as validate::handlers::1::folder"),
        (evil_network, r"asks for 'os.mkdir', which is not allowed"),
        (evil_nested, r"where only a literal may stand"),
    ],
)
def test_s3_one_foreign_string_in_train_json_stops_the_run_in_one_sentence_that_shows_it(
    stranger, tmp_path, evil, text, capsys
):
    folder = stranger("train.json", evil(tmp_path / "mark"))
    run = ["train", "-o", str(tmp_path / "run"), "--bundle", str(folder), "--init", "none", "--epochs", "1"]
    assert main([*run, "--phantoms", "1", "--set", "validation_phantoms=1"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("prostate-seg: ")
    with pytest.raises(BundleError, match=text):
        plan(tmp_path / "run", bundle=folder, init="none")
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "run").exists()


def test_s3_with_trust_the_expression_runs_and_without_a_bundle_trust_is_refused(stranger, tmp_path, capsys):
    folder = stranger("train.json", evil_expression(tmp_path / "mark"))
    stranger("train.json", lambda config: config["initialize"].append("$1 / 0"))
    run = ["train", "-o", str(tmp_path / "run"), "--init", "none", "--epochs", "1", "--phantoms", "1"]
    assert main([*run, "--bundle", str(folder), "--trust", "--set", "validation_phantoms=1"]) != 0
    assert (tmp_path / "mark").exists()
    assert main([*run, "--trust"]) == 2
    assert "--trust is about the bundle of --bundle; give both" in capsys.readouterr().err


def test_s3_a_changed_logging_conf_or_an_expression_in_metadata_json_needs_trust(stranger, tmp_path):
    folder = stranger("metadata.json", lambda metadata: metadata.update(task="$print(1)"))
    with pytest.raises(BundleError, match=r"metadata.json holds '\$print\(1\)'"):
        plan(tmp_path / "run", bundle=folder, init="none")
    stranger("metadata.json", lambda metadata: metadata.update(task="any"))
    log = folder / "configs" / "logging.conf"
    log.write_text(log.read_text().replace("(sys.stderr,)", "(__import__('sys').stderr,)"))
    with pytest.raises(BundleError, match=r"its logging.conf is not the released one.*give --trust"):
        plan(tmp_path / "run", bundle=folder, init="none")
    assert plan(tmp_path / "run", bundle=folder, init="none", trust=True).bundle == folder


def test_s3_other_numbers_fewer_augmentations_and_another_allowed_network_need_no_trust(stranger, tmp_path):
    def change(config):
        config["learning_rate"] = 0.001
        config["augment"] = [config["augment"][3] | {"prob": 0.5}, config["augment"][0]]
        config["resume"] = None
        config["network_def"]["decoder"] = {
            "_target_": "prostate_seg.network.LinearDecoder", "width": 64, "num_classes": 2,
        }  # fmt: skip

    folder = stranger("train.json", change)
    stranger("train.json", lambda config: config.update(resume=True))
    assert plan(tmp_path / "run", bundle=folder, init="none").bundle == folder


def test_s3_a_list_nested_60_levels_deep_is_refused_at_once(stranger, tmp_path):
    deep = "$import os"
    for _ in range(60):
        deep = [deep]
    folder = stranger("train.json", lambda config: config.update(augment=deep))
    with pytest.raises(BundleError, match=r"train.json holds '\$import os' as augment::0"):
        plan(tmp_path / "run", bundle=folder, init="none")


@pytest.mark.parametrize(
    "name", ["LICENSE", "docs/metadata.schema.json", "configs/logging.conf", "configs/metadata.json"]
)
def test_house_10_a_bundle_without_one_of_4_files_is_refused_before_training(stranger, tmp_path, name):
    folder = stranger("train.json", lambda config: None)
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"no bundle to train: it has no {name}"):
        plan(tmp_path / "run", bundle=folder, init="none")
    assert not (tmp_path / "run").exists()


def test_house_10_metadata_without_a_changelog_or_with_a_number_as_name_are_refused_before_training(
    stranger, tmp_path
):
    folder = stranger("metadata.json", lambda metadata: metadata.pop("changelog"))
    with pytest.raises(BundleError, match=r"its metadata.json has no changelog"):
        plan(tmp_path / "run", bundle=folder, init="none")
    stranger("metadata.json", lambda metadata: metadata.update(name=5, changelog={}))
    with pytest.raises(BundleError, match="gives 5 as name or version"):
        plan(tmp_path / "run", bundle=folder, init="none")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("phantoms", "many", "phantoms is 'many', expected a whole number from 0 to 1000000"),
        ("seed", -1, "seed is -1, expected a whole number from 0"),
        ("batch_size", 0, "batch_size is 0, expected a whole number from 1 to 10000"),
        ("batch_size", 2.5, "batch_size is 2.5"),
        ("amp", 1, "amp is 1, expected true or false"),
        ("learning_rate", "fast", "learning_rate is 'fast', expected a number from 0"),
        ("hard_examples", 2, "hard_examples is 2, expected a number from 0 to 1"),
        ("train::trainer::max_epochs", 0, "max_epochs is 0, expected a whole number from 1"),
        ("workers", 10**9, "workers is 1000000000, expected a whole number from 0 to 256"),
    ],
)
def test_c4_a_setting_of_another_kind_or_beyond_its_range_is_refused_before_training(
    tiny_bundle, tmp_path, name, value, text
):
    with pytest.raises(SettingsError, match=text):
        plan(tmp_path / "run", bundle=tiny_bundle, init="none", settings={name: value})


def test_c4_a_network_of_10_to_the_9_blocks_is_refused_before_training(tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match=r"depth is 1e\+09, expected 0 to 64"):
        plan(tmp_path, bundle=tiny_bundle, init="none", settings={"network_def::encoder::depth": 10**9})
