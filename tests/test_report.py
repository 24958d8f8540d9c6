"""Pages as files: what stands in them, what does not, how large they get."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from prostate_seg.cases.export import ExportOptions, export_case
from prostate_seg.cli import main
from prostate_seg.geometry.volume import Segmentation, Volume
from prostate_seg.report import CaseReport, Layer, case_report_of, write_case_page
from prostate_seg.report.page import script_json, table
from prostate_seg.report.slices import paths, pictures, uncertainty
from prostate_seg.writing import write
from prostate_seg.writing.contoured_volume import Author, ContouredVolume
from prostate_seg.writing.dicom.ultrasound import write_us
from prostate_seg.writing.view import view_of

LPS = np.diag([-2.0, -1.0, 5.0, 1.0])


def volume_with_box():
    """10 x 8 x 3 voxels of 2 x 1 x 5 mm, i to the left, j to the posterior; a box of 4 x 3 voxels in slice 1."""
    mask = np.zeros((10, 8, 3), bool)
    mask[2:6, 3:6, 1] = True
    return Volume(np.full(mask.shape, 50, np.uint8), LPS), mask


def data_of(path):
    """What the scripts of a page find as ``report``."""
    return json.loads(re.search(r"const report = (.*);</script>", path.read_text("utf-8")).group(1))


def test_an_outline_runs_in_mm_along_the_outer_edges_of_its_voxels():
    volume, mask = volume_with_box()
    first, second, _ = paths(view_of(volume, [mask]), {"CTV": mask})
    assert first == {}
    numbers = np.array([float(x) for x in re.findall(r"[\d.]+", second["CTV"])]).reshape(-1, 2)
    assert numbers.min(axis=0).tolist() == [2 * 2, 3 * 1]
    assert numbers.max(axis=0).tolist() == [6 * 2, 6 * 1]
    assert second["CTV"].startswith("M")
    assert second["CTV"].endswith("Z")


def test_a_slice_has_square_pixels_no_finer_than_its_own():
    volume, _ = volume_with_box()
    picture = pictures(view_of(volume))[0]
    import base64
    import io

    from PIL import Image

    size = Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))).size
    assert size == (20, 8)  # 20 x 8 mm at 1 mm


def test_uncertainty_is_there_only_where_the_probability_is_between_0_and_1():
    volume, mask = volume_with_box()
    probability = mask.astype(np.float32)
    assert uncertainty(view_of(volume), probability) == [None] * 3
    probability[0, 0, 2] = 0.5
    assert [picture is not None for picture in uncertainty(view_of(volume), probability)] == [False, False, True]


def test_a_page_has_its_slices_the_largest_one_first_and_asks_for_nothing(tmp_path):
    volume, mask = volume_with_box()
    write_case_page(tmp_path / "a.html", CaseReport("A", volume, [Layer("CTV", mask)], warnings=["Look <here>."]))
    text, data = (tmp_path / "a.html").read_text("utf-8"), data_of(tmp_path / "a.html")
    assert (len(data["slices"]), data["first"], data["numbers"]) == (3, 1, [1, 2, 3])
    assert "default-src 'none'" in text
    assert not re.search(r'<(script|link|img|iframe)[^>]+(src|href)="(?!data:)', text)
    assert "Research use only. Not a medical device." in text
    assert "<li>Look &lt;here&gt;.</li>" in text
    assert data["surface"]["layout"]["scene"]["xaxis"]["title"]["text"] == "left, mm"


def test_an_assumed_orientation_names_no_direction(tmp_path):
    volume, mask = volume_with_box()
    write_case_page(
        tmp_path / "a.html", CaseReport("A", replace(volume, orientation="assumed"), [Layer("CTV", mask)])
    )
    assert data_of(tmp_path / "a.html")["surface"]["layout"]["scene"]["xaxis"]["title"]["text"] == "axis 1, mm"
    assert 'class="mark' not in (tmp_path / "a.html").read_text("utf-8")


@pytest.mark.parametrize("shape", [(10, 8, 3), (10, 8, 1)])
def test_an_empty_mask_and_a_single_slice_have_a_page_without_a_surface(tmp_path, shape):
    mask = np.zeros(shape, bool)
    mask[2:5, 2:5] = shape[2] == 1
    volume = Volume(np.full(shape, 9, np.uint8), LPS)
    write_case_page(tmp_path / "a.html", CaseReport("A", volume, [Layer("CTV", mask)]))
    assert data_of(tmp_path / "a.html")["surface"] is None
    assert "There is none: the mask is empty or one slice." in (tmp_path / "a.html").read_text("utf-8")


def test_300_slices_of_noise_stay_below_40_mb(tmp_path):
    noise = np.random.default_rng(0).integers(1, 256, (360, 300, 300), np.uint8)
    mask = np.zeros(noise.shape, bool)
    mask[100:260, 100:220, 50:250] = True
    volume = Volume(noise, np.diag([-0.2, -0.2, 0.5, 1.0]))
    write_case_page(tmp_path / "a.html", CaseReport("A", volume, [Layer("CTV", mask)]))
    assert 5e6 < (tmp_path / "a.html").stat().st_size < 40e6


def test_a_name_cannot_end_the_script_or_become_markup():
    assert script_json({"name": "</script><!--"}) == '{"name":"<\\/script><\\!--"}'
    assert "<td>&lt;b&gt;</td>" in table(["case"], [["<b>"]], caption="x")


def test_a_table_sorts_infinite_as_infinite_and_undefined_as_a_dash():
    text = table(["a", "b", "c"], [[0.5, float("inf"), None]], caption="x", name="t")
    assert '<td class=number data-value="0.5">0.500</td>' in text
    assert '<td class=number data-value="inf">inf</td>' in text
    assert "<td>-</td>" in text


@pytest.fixture(scope="module")
def study(small_phantom, tmp_path_factory):
    """A DICOM study of a patient with a name, in a folder with a name."""
    folder = tmp_path_factory.mktemp("study") / "Anna_Example"
    write_us(small_phantom.image, folder, kind="series")
    from pydicom import dcmread

    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.PatientName, dataset.PatientID = "Example^Anna", "MRN-4711"
        dataset.save_as(path)
    return folder


def test_no_name_stands_in_the_report_unless_asked(tiny_bundle, study, tmp_path, capsys):
    arguments = ["segment", str(study), "--bundle", str(tiny_bundle), "--tta", "none", "--format", "report"]
    assert main([*arguments, "-o", str(tmp_path / "a")]) == 0
    assert main([*arguments, "-o", str(tmp_path / "b"), "--identify"]) == 0
    plain, named = ((tmp_path / x / "Anna_Example" / "report.html").read_text("utf-8") for x in "ab")
    for secret in ("Example^Anna", "MRN-4711", "Anna_Example"):
        assert secret not in plain
        assert secret in named
    manifest = json.loads((tmp_path / "a" / "Anna_Example" / "manifest.json").read_text())
    assert manifest["outputs"] == ["report.html", "manifest.json"]
    assert manifest["input"]["sha256"][:12] in plain


def test_identify_without_a_report_is_refused(study, tmp_path, capsys):
    assert main(["segment", str(study), "-o", str(tmp_path / "out"), "--format", "nifti", "--identify"]) == 2
    assert (
        "--identify is about report.html and planimetry.html; add report or planimetry to --format"
        in capsys.readouterr().err
    )


def test_a_corrected_mask_has_a_report_with_its_structures_and_without_uncertainty(small_phantom, tmp_path):
    labels = small_phantom.truth.labels.copy()
    labels[30:33, 20:23, 3:5] = 2
    write(Segmentation(labels, small_phantom.truth.affine, {1: "CTV", 2: "urethra"}), tmp_path / "mine.seg.nrrd")
    write(small_phantom.image, tmp_path / "trus.nrrd")
    order = ExportOptions(
        tmp_path / "mine.seg.nrrd", ("report",), tmp_path / "trus.nrrd", "CTV", structures=("urethra",)
    )
    done = export_case(order, tmp_path / "out")
    assert done.outputs == ["report.html", "manifest.json"]
    text, data = (done.folder / "report.html").read_text("utf-8"), data_of(done.folder / "report.html")
    assert data["uncertainty"] is None
    assert {name for drawn in data["paths"] for name in drawn} == {"CTV", "urethra"}
    assert "semiautomatic" in text


def test_the_report_of_a_case_tells_volume_extents_and_their_ellipsoid(small_phantom):
    from prostate_seg.cases.folder import mask_facts

    contoured = ContouredVolume(small_phantom.image, small_phantom.truth, Author("m", "1"))
    manifest = mask_facts(small_phantom.image, small_phantom.truth) | {"warnings": [], "versions": {}}
    told = dict(case_report_of(contoured, manifest).results)
    assert told["Volume"] == f"{small_phantom.truth.volume_ml:.1f} mL"
    lengths = [float(told[name].split()[0]) for name in ("Left-right", "Anterior-posterior", "Superior-inferior")]
    assert float(told["Ellipsoid of these extents"].split()[0]) == pytest.approx(
        np.pi / 6 * np.prod(lengths) / 1000, abs=0.2
    )
