"""The rules of the house that no linter knows."""

import ast
import json
import subprocess
import sys

import pytest


def sources(repository):
    return sorted(
        path
        for folder in ("prostate_seg", "data_prep", "benchmarks")
        for path in (repository / folder).rglob("*.py")
    )


def test_no_file_has_more_than_300_lines(repository):
    assets = [path for kind in ("js", "css", "html") for path in (repository / "prostate_seg").rglob(f"*.{kind}")]
    assert len(assets) >= 11
    long = {
        str(path): len(path.read_text().splitlines())
        for path in [*sources(repository), *(repository / "tests").glob("*.py"), *assets]
    }
    assert {name: count for name, count in long.items() if count > 300} == {}


def test_no_function_body_has_more_than_50_lines(repository):
    long = {}
    for path in sources(repository):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                long[f"{path.name}:{node.name}"] = node.end_lineno - first.lineno + 1
    assert {name: count for name, count in long.items() if count > 50} == {}


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    main(['segment', '--help'])\nexcept SystemExit:\n    pass",
        "main(['info'])",
        "import tempfile\nmain(['phantom', tempfile.mkdtemp(), '--seed', '3'])",
        "main(['evaluate', 'absent.nii.gz', 'absent.nii.gz'])",
        "import prostate_seg\nprostate_seg.read, prostate_seg.Volume, prostate_seg.write",
    ],
    ids=["help", "info", "phantom", "evaluate", "public names"],
)
def test_what_needs_no_network_starts_without_torch_and_monai(repository, code):
    after = "import sys\nassert not {'torch', 'monai'} & set(sys.modules), 'torch or monai was imported'"
    check = f"from prostate_seg.cli import main\n{code}\n{after}"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_readme_changelog_and_package_name_the_same_version(repository):
    import prostate_seg

    assert f"## {prostate_seg.__version__}" in (repository / "CHANGELOG.md").read_text()
    assert f"version: {prostate_seg.__version__}" in (repository / "CITATION.cff").read_text()
    metadata = json.loads((repository / "bundles/prostate_us_segmenter/configs/metadata.json").read_text())
    assert metadata["required_packages_version"]["prostate-seg"] == prostate_seg.__version__
