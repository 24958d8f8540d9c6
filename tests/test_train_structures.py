"""``train --structures``: a user's own list becomes a bundle whose CTV is unchanged."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from prostate_seg import load_bundle
from prostate_seg.cli import main
from prostate_seg.errors import SettingsError
from prostate_seg.inference.released import released_bundle
from prostate_seg.phantom import make_phantom
from prostate_seg.phantom.study import write_phantom
from prostate_seg.training.plan import Extra, plan
from prostate_seg.training.run import train
from prostate_seg.training.structures import StructureTraining

BALLOON = {
    "name": "Balloon",
    "label": 60,
    "kind": "stuff",
    "category": {"value": "260787004", "scheme": "SCT", "meaning": "Physical object"},
    "type": {"value": "14288003", "scheme": "SCT", "meaning": "Balloon"},
    "rt_type": "AVOIDANCE",
    "colour": [10, 20, 30],
}
SMALL = {
    **{"phantoms": 2, "validation_phantoms": 1, "train::trainer::max_epochs": 1, "batch_size": 2},
    **{"workers": 1, "amp": False},
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """A datalist of a case with CTV and urethra and one with the bladder alone, and a case for validation."""
    folder = tmp_path_factory.mktemp("cases")
    found = [write_phantom(folder, seed, structures=True) for seed in (41, 42, 43)]
    rows = [{"image": str(image), "patient": image.name} for image, _ in found]
    labels = [str(label) for _, label in found]
    rows[0] |= {"label": labels[0], "structures": {"Urethra": labels[0]}}
    rows[1] |= {"structures": {"bladder": labels[1]}}
    rows[2] |= {"label": labels[2], "structures": {"Urethra": labels[2], "Bladder": labels[2]}}
    (folder / "cases.json").write_text(json.dumps({"training": rows[:2], "validation": rows[2:]}))
    return folder / "cases.json"


def test_a_list_of_names_and_objects_sets_the_classes_of_the_network(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(["Urethra", BALLOON]))
    found = StructureTraining.of(str(tmp_path / "list.json"))
    assert found.overrides["network_def"]["decoder"]["num_classes"] == 4
    assert found.overrides["structures"] == ["urethra", "balloon"]
    assert StructureTraining.of("bladder, Rectal wall").overrides["structures"] == ["bladder", "rectal_wall"]


def test_weights_of_the_same_list_are_the_start_and_those_of_the_ctv_for_another(tmp_path):
    names = json.loads((released_bundle() / "configs/structures.json").read_text())["structures"]
    place = tmp_path / "bundle"
    shutil.copytree(released_bundle(), place)
    (place / "models/structures.pt").write_bytes(b"")
    assert StructureTraining.of(",".join(names)).start_of(place).name == "structures.pt"
    assert StructureTraining.of("urethra").start_of(place).name == "model.pt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--structures holds no structures"),
        ("urethra,urethra", "--structures has two structures called Urethra"),
        ("ctv,urethra", "names the CTV, which is always trained; leave it out"),
        ("balloon", "names 'balloon', which is none of CTV"),
    ],
)
def test_a_bad_list_is_refused_before_anything_runs(text, message):
    with pytest.raises(SettingsError, match=message):
        StructureTraining.of(text)


def test_a_case_with_a_label_outside_the_list_is_refused(cases, tmp_path):
    with pytest.raises(SettingsError, match="labels 'bladder', which is none of the structures of --structures"):
        plan(tmp_path / "run", datalist=cases, extra=Extra(structures="urethra"))
    assert not (tmp_path / "run").exists()


def test_folds_and_structures_exclude_each_other(cases, tmp_path, capsys):
    options = [
        "train",
        "--data",
        str(cases),
        "-o",
        str(tmp_path / "run"),
        "--folds",
        "2",
        "--structures",
        "urethra",
    ]
    assert main(options) == 2
    assert "--folds makes an ensemble of the CTV" in capsys.readouterr().err


@pytest.mark.slow
def test_a_trained_list_segments_its_structures_and_leaves_the_ctv_as_it_was(cases, tmp_path):
    planned = plan(
        tmp_path / "run", datalist=cases, extra=Extra(structures="urethra,bladder,rectal wall"), settings=SMALL
    )
    bundle = train(planned)
    content = json.loads((bundle / "configs/structures.json").read_text())
    assert content["learnt_on"] == {"Urethra": "patients", "Bladder": "patients", "Rectal wall": "phantoms"}
    volume = make_phantom(12, shape=(72, 48, 16), spacing_mm=(1.2, 1.2, 3.0)).image
    found = load_bundle(bundle, structures="all")(volume)
    assert list(found.structures) == ["Urethra", "Bladder", "Rectal wall"]
    assert not (bundle / "configs/urethra.json").exists()  # phantoms must not overrule a patient-trained urethra
    assert load_bundle(bundle, structures="all").further.second is None
    assert found.phantom_trained == ("Rectal wall",)
    assert np.array_equal(found.labels, load_bundle()(volume).labels)
    assert Path(bundle / "models/model.pt").read_bytes() == (released_bundle() / "models/model.pt").read_bytes()
