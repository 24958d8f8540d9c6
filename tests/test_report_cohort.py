"""Pages of evaluations and comparisons as files."""

import json
import re

import numpy as np
import pytest

from prostate_seg.cli import main
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.writing import write

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
SHAPE = (20, 16, 10)


def cube(first, last):
    labels = np.zeros(SHAPE, np.uint8)
    labels[first:last, 4:12, 2:8] = 1
    return Segmentation(labels, AFFINE)


@pytest.fixture
def folders(tmp_path):
    """Three cases: good, 3 mm off, missed; one without a prediction; images of two."""
    for folder in ("model", "ref", "images"):
        (tmp_path / folder).mkdir()
    for name, mask in {"good": cube(4, 14), "off": cube(7, 17), "missed": cube(0, 0)}.items():
        write(mask, tmp_path / "model" / f"{name}.nii.gz")
        write(cube(4, 14), tmp_path / "ref" / f"{name}.nii.gz")
    write(cube(4, 14), tmp_path / "ref" / "lost.nii.gz")
    gray = np.random.default_rng(0).integers(20, 90, SHAPE, np.uint8)
    write(Volume(gray, AFFINE), tmp_path / "images" / "off.nii.gz")
    write(Volume(gray[:, :, :5], AFFINE), tmp_path / "images" / "good.nii.gz")
    return tmp_path


def run(tmp_path, *options):
    arguments = [tmp_path / "model", tmp_path / "ref", "-o", tmp_path / "out", *options]
    return main(["evaluate", *map(str, arguments)])


def rows_of(text, identity):
    """The cells of a table's body, as text."""
    body = re.search(rf'id="{identity}".*?<tbody>(.*?)</tbody>', text, re.S).group(1)
    return [
        [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
        for row in re.findall(r"<tr>.*?</tr>", body)
    ]


def test_the_page_lists_all_cases_and_links_the_worst_to_their_pages_missed_first(folders):
    assert run(folders, "--pages", "2", "--images", folders / "images") == 1
    text = (folders / "out" / "report.html").read_text("utf-8")
    rows = {row[0]: row for row in rows_of(text, "cases")}
    assert list(rows) == ["good", "lost", "missed", "off"]
    assert rows["missed"][1:3] == ["0.000", "inf"]
    assert rows["off"][1] == "0.700"  # 7 of 10 planes
    assert rows["lost"][-1] == "Expected one prediction of case lost, got none."
    assert re.findall(r'figcaption><a href="(.*?)"', text) == ["cases/missed.html", "cases/off.html"]
    assert sorted(path.name for path in (folders / "out" / "cases").iterdir()) == ["missed.html", "off.html"]
    assert "<dt>Rows with an empty mask on one side</dt><dd>1</dd>" in text


def test_an_image_on_another_grid_or_none_leaves_the_contours_on_black_and_says_so(folders):
    run(folders, "--images", folders / "images")
    pages = {path.stem: path.read_text("utf-8") for path in (folders / "out" / "cases").iterdir()}
    assert "No image of this case was given" in pages["missed"]
    assert "The image lies on another grid than the reference" in pages["good"]
    assert "contours lie on black" not in pages["off"]


def test_the_bland_altman_plot_has_the_bias_of_the_measured_cases(folders):
    run(folders)
    text = (folders / "out" / "report.html").read_text("utf-8")
    plots = json.loads(re.search(r"const report = (.*);</script>", text).group(1))["plots"]
    told = [one["text"] for one in plots["volumes"]["layout"]["annotations"]]
    # 10 x 8 x 6 voxels of 2 mm3 are 0.96 mL: errors of 0, -0.96 and 0 mL.
    assert told[0] == "bias -0.3 mL"
    assert list(plots) == ["plot0", "plot1", "plot2", "plot3", "volumes"]


def test_images_that_are_no_folder_and_fewer_than_0_pages_are_refused(folders, capsys):
    assert run(folders, "--images", folders / "absent") == 2
    assert "absent is no folder of images" in capsys.readouterr().err
    assert run(folders, "--pages", "-1") == 2
    assert main(["evaluate", str(folders / "model"), str(folders / "ref"), "--images", str(folders)]) == 2


def test_only_broken_pairs_still_have_a_page(folders):
    for path in (folders / "model").iterdir():
        path.write_bytes(b"")
    assert run(folders) == 2
    assert len(rows_of((folders / "out" / "report.html").read_text("utf-8"), "cases")) == 4


def test_a_comparison_has_a_scatter_a_metric_and_the_worst_case_first(folders):
    run(folders)
    (folders / "out").rename(folders / "first")
    write(cube(9, 19), folders / "model" / "good.nii.gz")
    run(folders)
    arguments = ["compare", str(folders / "first"), str(folders / "out"), "-o", str(folders / "c")]
    assert main([*arguments, "--metrics", "dice,hd_mm"]) == 0
    text = (folders / "c" / "comparison.html").read_text("utf-8")
    assert rows_of(text, "worst")[0][0] == "good"
    assert rows_of(text, "worst")[0][3:] == ["1.00", "0.500", "-0.500"]
    assert [row[1] for row in rows_of(text, "differences")] == ["Dice", "Hausdorff distance, mm"]
    plots = json.loads(re.search(r"const report = (.*);</script>", text).group(1))["plots"]
    assert list(plots) == ["scatter0", "scatter1"]
