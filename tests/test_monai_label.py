"""MONAI Label's own inference and training, with the installed ``monailabel`` in an environment of its own."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from scipy.ndimage import binary_dilation

from prostate_seg import read
from prostate_seg.evaluation.metrics import overlap
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.phantom import make_phantom
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="MONAI Label's requirements are for Python 3.11"),
]


@pytest.fixture(scope="module")
def python(tmp_path_factory, repository):
    """Return the interpreter of an environment that sees this one, and MONAI Label beside it."""
    folder = tmp_path_factory.mktemp("monai_label") / "environment"
    venv.create(folder, with_pip=True)
    site = folder / "lib" / "python3.11" / "site-packages"
    here = sysconfig.get_paths()["purelib"]
    (site / "base.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "-r"]
    requirements = repository / "tests" / "monai_label" / "requirements.txt"
    subprocess.run([folder / "bin" / "python", *install, requirements], check=True)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def seen_by_label(python, repository, tmp_path_factory):
    """Two phantoms whose labels have a margin of 4.8 mm, as a clinic may contour; the released bundle's copy."""
    folder = tmp_path_factory.mktemp("label")
    bundle = folder / "prostate_us_segmenter"
    shutil.copytree(repository / "bundles" / "prostate_us_segmenter", bundle)
    labels = folder / "studies" / "labels" / "final"
    labels.mkdir(parents=True)
    for seed in (3, 4):
        phantom = make_phantom(seed, shape=(72, 48, 32), spacing_mm=(1.6, 1.6, 2.0))
        write(phantom.image, folder / "studies" / f"p{seed}.nii.gz")
        wide = binary_dilation(phantom.truth.labels > 0, iterations=3)
        write(Segmentation(wide.astype(np.uint8), phantom.truth.affine), labels / f"p{seed}.nii.gz")
    foreign = folder / "ct.dcm"
    pydicom.dcmread(get_testdata_file("CT_small.dcm")).save_as(foreign)
    out = folder / "seen.json"
    script = repository / "tests" / "monai_label" / "train_and_infer.py"
    done = subprocess.run(
        [python, script, bundle, folder / "studies", out, foreign], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder, json.loads(out.read_text())


def test_after_train_infer_uses_what_was_learnt(seen_by_label):
    folder, seen = seen_by_label
    assert seen["trained"]
    for case, before, after in zip(seen["cases"], seen["before"], seen["after"], strict=True):
        label = read_mask(folder / "studies" / "labels" / "final" / f"{case}.nii.gz").mask()
        first, second = (overlap(read_mask(file).mask(), label).dice for file in (before, after))
        assert second > first + 0.03, f"{case}: {first:.3f} before, {second:.3f} after"


def test_a_mask_from_monai_label_lies_on_its_image(seen_by_label):
    folder, seen = seen_by_label
    image, mask = read(folder / "studies" / f"{seen['cases'][0]}.nii.gz"), read_mask(seen["before"][0])
    assert mask.labels.shape == image.array.shape
    assert np.allclose(mask.affine, image.affine, atol=1e-3)


def test_a_second_training_trains_again_and_the_weights_before_it_are_kept_and_offered(seen_by_label):
    _, seen = seen_by_label
    assert seen["trained_again"]
    assert seen["choices"][0] == "model.pt"
    assert "model_before_training.pt" in seen["choices"]


def test_a_study_that_is_no_ultrasound_is_refused_in_a_sentence(seen_by_label):
    _, seen = seen_by_label
    assert "CT" in seen["refused"]
    assert "ultrasound" in seen["refused"]
