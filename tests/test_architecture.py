"""Where things belong: packages, rows, the picture, the bundle's vocabulary, and one row for each new part."""

import ast
import graphlib
import importlib
import json
import re
import sys

import grimp
import pytest
import torch
from jsonschema import Draft202012Validator
from monai.bundle import ConfigParser

import prostate_seg.inference
import prostate_seg.network
import prostate_seg.training
from prostate_seg.cli import main
from prostate_seg.inference.overrides import check_names
from prostate_seg.inference.settings import build_network
from prostate_seg.inference.vocabulary import allowed
from prostate_seg.writing.formats import FORMATS, Format, readme_table
from prostate_seg.writing.manifest_schema import schema, schema_text

OURS = r"prostate_seg\.(?:network|inference|training)\.[A-Za-z_]+"


@pytest.fixture(scope="module")
def view(repository):
    sys.path.insert(0, str(repository / "docs"))
    import architecture_view

    yield architecture_view
    sys.path.remove(str(repository / "docs"))


def test_the_package_has_at_most_16_packages_and_modules_on_at_most_10_rows(repository, view):
    top = {path.stem for path in (repository / "prostate_seg").iterdir() if path.suffix in ("", ".py")}
    top -= {"__init__", "__main__", "__pycache__"}
    rows = view.rows()
    assert len(top) <= 16
    assert len(rows) <= 10
    assert {name for row in rows for name in row} == top


def test_no_module_imports_itself_by_way_of_others():
    graph = grimp.build_graph("prostate_seg")
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    list(graphlib.TopologicalSorter(imported).static_order())  # CycleError


def test_the_picture_of_the_packages_is_what_the_code_imports(repository, view):
    assert (repository / "docs" / "architecture.svg").read_text() == view.picture(), "make docs"


def test_every_file_that_the_architecture_names_exists(repository):
    text = (repository / "docs" / "architecture.md").read_text()
    named = re.findall(r"`((?:prostate_seg|bundles|docs|tests|data_prep)/[\w./-]+)`", text)
    assert len(named) > 10
    assert [name for name in named if not (repository / name).exists()] == []


def test_readme_has_the_table_of_formats(repository):
    assert readme_table() in (repository / "README.md").read_text()


def test_the_published_schema_of_the_manifest_is_that_of_the_types(repository):
    assert (repository / "docs" / "manifest.schema.json").read_text() == schema_text(), "make docs"
    Draft202012Validator.check_schema(schema())


def words(repository):
    return set(re.findall(rf"`({OURS})`", (repository / "docs" / "bundle-vocabulary.md").read_text()))


def test_the_vocabulary_names_what_bundles_may_use_and_nothing_else(repository):
    packages = (prostate_seg.inference, prostate_seg.training)
    public = {f"{package.__name__}.{name}" for package in packages for name in package.__all__}
    public -= {"prostate_seg.inference.Predictor", "prostate_seg.inference.load_bundle"}  # of Python's users
    parts = {name for name in allowed() if name.startswith("prostate_seg.")}
    page = (repository / "docs" / "bundle-vocabulary.md").read_text()
    literal, evaluated = page.split("\n## ")[1:]
    assert set(re.findall(r"`(prostate_seg\.\w+\.\w+|[A-Z]\w+)`", literal)) == set(allowed())
    assert set(re.findall(rf"`({OURS})`", evaluated)) == public - parts


def test_no_word_of_the_vocabulary_is_also_a_module_that_would_hide_it(repository):
    for package in ("inference", "network", "training"):
        words = set(importlib.import_module(f"prostate_seg.{package}").__all__)
        assert not words & {path.stem for path in (repository / "prostate_seg" / package).iterdir()}


def test_every_name_in_the_released_json_is_a_word_of_the_vocabulary(repository):
    used = set()
    for file in (repository / "bundles" / "prostate_us_segmenter" / "configs").glob("*.json"):
        content = json.loads(file.read_text())
        content.pop("_desc_", None)
        used |= set(re.findall(OURS, json.dumps(content)))
        aliases = re.findall(r"\b(inference|training)\.([a-z_]+)\(", json.dumps(content))
        used |= {f"prostate_seg.{package}.{name}" for package, name in aliases}
    assert len(used) > 20
    assert used <= words(repository)


def test_1_row_adds_a_format_to_help_checks_and_results(monkeypatch, tmp_path, capsys, repository):
    (tmp_path / "toy_format.py").write_text(
        "def write(path, request):\n    path.write_text(f'{request.contoured.ctv.volume_ml:.1f} mL')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    toy = Format("toy", "toy.txt", "toy_format:write", "the volume as text", needs=("dicom",))
    monkeypatch.setitem(FORMATS, "toy", toy)
    with pytest.raises(SystemExit):
        main(["segment", "--help"])
    assert re.search(r"toy +toy\.txt +the volume as text", capsys.readouterr().out)
    assert "| `toy.txt` | the volume as text | `toy` |" in readme_table()
    assert "toy.txt" in schema()["properties"]["outputs"]["items"]["enum"]
    assert main(["phantom", str(tmp_path / "p"), "--seed", "3"]) == 0
    mask = next((tmp_path / "p" / "labels").iterdir())
    image = next((tmp_path / "p" / "images").iterdir())
    command = ["export", str(mask), "--source", str(image), "-o", str(tmp_path / "out"), "--format"]
    assert main([*command, "toy"]) == 2
    assert "toy refers to DICOM images, but the source is nifti" in capsys.readouterr().err
    monkeypatch.setitem(FORMATS, "toy", Format("toy", "toy.txt", "toy_format:write", "the volume as text"))
    assert main([*command, "toy"]) == 0
    assert re.fullmatch(r"\d+\.\d mL", next((tmp_path / "out").rglob("toy.txt")).read_text())


def test_1_row_adds_a_network_to_what_a_bundle_may_be_made_of(monkeypatch):
    class Toy(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.layer = torch.nn.Conv3d(1, width, 1)

    name = "prostate_seg.network.Toy"
    with pytest.raises(prostate_seg.BundleError, match="not allowed here"):
        build_network({"_target_": name, "width": 2})
    monkeypatch.setattr(prostate_seg.network, "PARTS", (*prostate_seg.network.PARTS, Toy))
    assert build_network({"_target_": name, "width": 2}).layer.out_channels == 2


def test_1_row_adds_an_augmentation_to_what_a_configuration_may_name(monkeypatch):
    class RandToyd:
        def __init__(self, keys, prob=0.1):
            self.keys = keys

    monkeypatch.setitem(vars(prostate_seg.training), "RandToyd", RandToyd)
    config = {"augment": [{"_target_": "prostate_seg.training.RandToyd", "keys": "image"}]}
    assert ConfigParser(config).get_parsed_content("augment")[0].keys == "image"
    check_names({"augment::0::prob": 0.5}, config)
    with pytest.raises(prostate_seg.SettingsError, match="no setting named augment::0::porb"):
        check_names({"augment::0::porb": 0.5}, config)


def test_the_public_face_of_a_package_is_its_docstring_and_names(repository):
    for package in sorted((repository / "prostate_seg").iterdir()):
        if package.is_dir() and (package / "__init__.py").exists():
            first = ast.get_docstring(ast.parse((package / "__init__.py").read_text())).split("\n")[0]
            assert len(first) <= 50, package.name
