import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]
BUNDLE = REPOSITORY / "bundles" / "prostate_us_segmenter"


# The same examples in every run; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data():
    folder = os.environ.get("PROSTATE_SEG_DATA")
    if not folder:
        pytest.skip("PROSTATE_SEG_DATA is not set")
    return Path(folder)


def shrink(config):
    """Make a configuration's network tiny: width 64, one block."""
    encoder = config["network_def"]["encoder"]
    encoder["patch_embed"]["width"] = 64
    encoder |= {"depth": 1, "heads": 1}
    config["network_def"]["decoder"] |= {"width": 64, "channels": [8, 16, 32]}


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """The bundle with a tiny network of random weights and small windows: everything but accuracy."""
    import torch

    from prostate_seg.inference.predictor import build

    folder = tmp_path_factory.mktemp("bundle") / "prostate_us_segmenter"
    shutil.copytree(BUNDLE, folder, ignore=shutil.ignore_patterns("*.pt", "hints.json"))
    for name in ("inference", "train"):
        path = folder / "configs" / f"{name}.json"
        config = json.loads(path.read_text().replace("[72, 48, 32]", "[48, 32, 16]"))
        shrink(config)
        path.write_text(json.dumps(config))
    torch.manual_seed(0)
    network = build(json.loads((folder / "configs" / "inference.json").read_text())["network_def"])
    (folder / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


@pytest.fixture(scope="session")
def small_phantom():
    from prostate_seg.phantom import make_phantom

    return make_phantom(5, shape=(80, 60, 8), spacing_mm=(1.2, 1.2, 5.0))


@pytest.fixture(scope="session")
def nifti_case(small_phantom, tmp_path_factory):
    """Image and label of a small phantom as NIfTI files."""
    from prostate_seg.writing import write

    folder = tmp_path_factory.mktemp("case")
    write(small_phantom.image, folder / "scan.nii.gz")
    write(small_phantom.truth, folder / "scan_label.nii.gz")
    return folder / "scan.nii.gz", folder / "scan_label.nii.gz"


@pytest.fixture
def logging_as_before():
    """Training in this process sets up logging to the streams of its test."""
    loggers = [logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict)]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger in [logging.getLogger(name) for name in (None, *logging.root.manager.loggerDict)]:
        logger.handlers[:] = []
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    from browser import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="session")
def browser_results(small_phantom, tiny_bundle, tmp_path_factory):
    """A segmented phantom with its page, an evaluation of three cases, a comparison."""
    from dataclasses import replace

    import numpy as np

    from prostate_seg.cli import main
    from prostate_seg.phantom import make_phantom
    from prostate_seg.writing import write

    folder = tmp_path_factory.mktemp("results")
    for name in ("images", "labels", "one", "two"):
        (folder / name).mkdir()
    for seed, name in enumerate(("case1", "case2", "case10")):
        phantom = make_phantom(5 + seed, shape=(80, 60, 8), spacing_mm=(1.2, 1.2, 5.0))
        write(phantom.image, folder / "images" / f"{name}.nii.gz")
        write(phantom.truth, folder / "labels" / f"{name}.nii.gz")
        for which, by in (("one", 1), ("two", 2 + 2 * seed)):
            moved = np.roll(phantom.truth.labels, by, axis=0)
            write(replace(phantom.truth, labels=moved), folder / which / f"{name}.nii.gz")
    arguments = ["segment", folder / "images" / "case1.nii.gz", "-o", folder / "out", "--bundle", tiny_bundle]
    formats = ["--format", "report,nifti,nrrd", "--review", "--tta", "none"]
    assert main([*map(str, arguments), *formats]) == 0
    for which in ("one", "two"):
        pair = [str(folder / which), str(folder / "labels")]
        assert (
            main(["evaluate", *pair, "-o", str(folder / f"eval-{which}"), "--images", str(folder / "images")]) == 0
        )
    evaluations = [str(folder / "eval-one"), str(folder / "eval-two")]
    assert main(["compare", *evaluations, "-o", str(folder / "compared")]) == 0
    return folder


@pytest.fixture
def narrow(driver):
    """Change the width of the page; the next test has the window's own."""
    from browser import at_width

    yield lambda width, **how: at_width(driver, width, **how)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
