"""``segment --structures``: what a case's folder says of the structures beside the CTV."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from prostate_seg import load_bundle, read
from prostate_seg.cases.folder import structure_warnings
from prostate_seg.cli import main
from prostate_seg.inference.released import released_bundle
from prostate_seg.reading.masks import read_segments
from prostate_seg.system.digests import sha256_of_file

BUNDLE = Path(released_bundle())


def run(image, output, *arguments):
    try:
        return main(["segment", str(image), "-o", str(output), "--tta", "none", "--device", "cpu", *arguments])
    except SystemExit as left:
        return left.code


@pytest.fixture(scope="module")
def made(nifti_case, tmp_path_factory):
    """The output folder of a case segmented with two structures."""
    output = tmp_path_factory.mktemp("two") / "out"
    assert run(nifti_case[0], output, "--structures", "Urethra,rectal wall", "--format", "seg-nrrd") == 0
    return output


def test_the_manifest_gives_each_structure_its_volume_and_what_taught_it(made):
    manifest = json.loads((made / "scan/manifest.json").read_text())
    assert sorted(manifest["structures"]) == ["Rectal wall", "Urethra"]
    assert {facts["learnt_on"] for facts in manifest["structures"].values()} == {"phantoms"}
    assert all(facts["volume_ml"] > 0.1 for facts in manifest["structures"].values())
    assert manifest["structures_sha256"] == sha256_of_file(BUNDLE / "models/structures.pt")
    assert manifest["second_look_sha256"] == sha256_of_file(BUNDLE / "models/urethra.pt")
    assert any("Phantom-trained, not tried on a patient: Urethra, Rectal" in one for one in manifest["warnings"])


def test_the_manifest_fits_the_published_schema(made, repository):
    schema = json.loads((repository / "docs" / "manifest.schema.json").read_text())
    Draft202012Validator(schema).validate(json.loads((made / "scan/manifest.json").read_text()))


def test_a_urethra_seen_by_another_second_network_does_not_count_as_done(made, nifti_case, capsys, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(made, folder)
    file = folder / "scan/manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"second_look_sha256": "0" * 64}))
    given = ("--structures", "Urethra,rectal wall", "--format", "seg-nrrd", "--skip-existing")
    assert run(nifti_case[0], folder, *given) == 2
    assert "was made with another network of the urethra" in capsys.readouterr().err


def test_the_layered_segmentation_holds_the_ctv_and_the_two_structures(made):
    masks, _ = read_segments(made / "scan/ctv.seg.nrrd")
    assert list(masks) == ["CTV", "Urethra", "Rectal wall"]
    # the urethra is a tube through the gland and a little beyond its apex, the rectal wall lies behind it
    assert np.count_nonzero(masks["Urethra"] & masks["CTV"]) > 0.8 * np.count_nonzero(masks["Urethra"])
    assert not (masks["Rectal wall"] & masks["CTV"]).any()


@pytest.mark.parametrize(("names", "status"), [("Urethra,Rectal wall", 0), ("Urethra", 2), ("CTV", 2)])
def test_a_finished_case_counts_as_done_if_it_has_the_same_structures(made, nifti_case, capsys, names, status):
    given = ("--structures", names, "--format", "seg-nrrd", "--skip-existing")
    assert run(nifti_case[0], made, *given) == status
    assert ("was made with another --structures" in capsys.readouterr().err) == bool(status)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("Penile bulb",), "There is no structure Penile bulb; expected all, or some of CTV, Per"),
        (("all,Penile bulb",), "There is no structure Penile bulb; expected all, or some of CTV, Per"),
        (
            ("Urethra", "--format", "nifti"),
            "--structures is about formats that hold several; add one of seg-nrrd, ",
        ),
    ],
)
def test_what_cannot_be_segmented_or_written_is_refused_before_any_case(
    nifti_case, tmp_path, capsys, given, message
):
    assert run(nifti_case[0], tmp_path / "out", "--structures", *given) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_structure_of_no_voxel_is_said_to_be_not_found(nifti_case):
    found = load_bundle(structures=["Bladder"], ensembling="none")(read(nifti_case[0]))
    empty = replace(found, structures={"Bladder": np.zeros(found.labels.shape, bool)})
    assert structure_warnings(empty)[-1] == "Not found in this image: Bladder."
