"""Structure sets as planning systems want them: names, margins of any structure, fewer points."""

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from judges import dice, dicom_errors, plastimatch_masks, study

from prostate_seg.cli import main
from prostate_seg.errors import SettingsError
from prostate_seg.geometry.margin import Margin
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing.dicom.contours import closed_contours, thinned
from prostate_seg.writing.dicom.planned_structures import write_structures
from prostate_seg.writing.dicom.structure_set import write_rtstruct
from prostate_seg.writing.request import Planning, Request
from prostate_seg.writing.roi_names import RoiNames


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return study(tmp_path_factory.mktemp("made"), "series")


def rois(path):
    dataset = pydicom.dcmread(path)
    types = {one.ReferencedROINumber: one.RTROIInterpretedType for one in dataset.RTROIObservationsSequence}
    return {str(one.ROIName): types[one.ROINumber] for one in dataset.StructureSetROISequence}


def points(path, name):
    dataset = pydicom.dcmread(path)
    number = next(one.ROINumber for one in dataset.StructureSetROISequence if name == one.ROIName)
    roi = next(one for one in dataset.ROIContourSequence if number == one.ReferencedROINumber)
    return sum(int(contour.NumberOfContourPoints) for contour in roi.ContourSequence)


def planned(made, path, **planning):
    write_structures(path, Request(made.contoured, ("rtstruct",), Planning(**planning)))
    return path


def test_tg_263_names_the_prostatic_urethra(made, tmp_path):
    path = planned(made, tmp_path / "rt.dcm", names=RoiNames.of("tg263"))
    assert rois(path) == {"CTV": "CTV", "Urethra_Prostatc": "ORGAN"}
    assert dicom_errors(path) == []


def test_a_clinic_gives_names_and_types_of_its_own(made, tmp_path):
    (tmp_path / "names.json").write_text(
        json.dumps({"CTV": "Prostata", "Urethra": {"name": "URETRA", "type": "AVOIDANCE"}})
    )
    path = planned(made, tmp_path / "rt.dcm", names=RoiNames.of(str(tmp_path / "names.json")))
    assert rois(path) == {"Prostata": "CTV", "URETRA": "AVOIDANCE"}
    assert np.array_equal(read_mask(path, like=made.contoured.ctv, structure="prostata").mask(), made.truth)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no ROI names, expected an object"),
        ("{", "are not JSON"),
        ('{"Rectal wall": "a", "rectal_wall": "b"}', "names 'rectal_wall' twice; give each structure one name"),
        ('{"CTV": 3}', "'CTV' is 3, expected a name, or an object with name and type"),
        ('{"CTV": {"name": "x", "kind": "y"}}', "expected a name, or an object with name and type"),
        ('{"CTV": ""}', "expected 1 to 64 printable characters"),
        ('{"CTV": "a\\\\b"}', "expected 1 to 64 printable characters without a backslash"),
        ('{"CTV": {"name": "x", "type": "SEED"}}', "has the type 'SEED', expected one of CTV, PTV"),
    ],
)
def test_bad_names_give_one_sentence(tmp_path, content, message):
    (tmp_path / "names.json").write_text(content)
    with pytest.raises(SettingsError, match=message):
        RoiNames.of(str(tmp_path / "names.json"))


def test_names_that_are_neither_tg263_nor_a_file_say_so(tmp_path):
    with pytest.raises(SettingsError, match="neither tg263 nor a file that can be read"):
        RoiNames.of(str(tmp_path / "none.json"))


def test_two_structures_of_one_name_are_refused(made, tmp_path):
    names = RoiNames({"ctv": "Target", "urethra": "target"})
    with pytest.raises(
        SettingsError,
        match=r"Two ROIs would be called target \(CTV and urethra\); give each",
    ):
        planned(made, tmp_path / "rt.dcm", names=names)
    assert not (tmp_path / "rt.dcm").exists()


def test_the_urethra_with_a_margin_of_2_mm_is_a_second_roi_that_holds_it(made, tmp_path):
    path = planned(made, tmp_path / "rt.dcm", margins={"Urethra": Margin.parse("2")})
    assert list(rois(path)) == ["CTV", "urethra", "urethra_PRV02"]
    small, large = (
        read_mask(path, like=made.contoured.ctv, structure=name).mask() for name in ("urethra", "urethra_PRV02")
    )
    assert np.array_equal(small & large, small)
    assert large.sum() > small.sum()
    assert rois(path)["urethra_PRV02"] == "ORGAN"


@pytest.mark.parametrize(
    ("names", "structure", "mm", "expected"),
    [
        ("", "Urethra", "2", "Urethra_PRV02"),
        ("", "Urethra", "2.5", "Urethra_PRV2.5"),
        ("", "CTV", "3", "PTV"),
        ("tg263", "Rectal wall", "5", "Rectal_Wal_PRV05"),
        ("tg263", "Rectal wall", "10", "Rectal_Wal_PRV10"),
        ("tg263", "Seminal vesicles", "5", "SeminalVes_PRV05"),
        ("tg263", "Peripheral zone", "3", "Peripheral_PRV03"),
        ("tg263", "Bladder", "3,posterior=1", "Bladder_PRV03"),
    ],
)
def test_a_margin_is_always_in_the_name_also_if_the_name_is_shortened(names, structure, mm, expected):
    named = RoiNames.of(names) if names else RoiNames()
    assert named.enlarged(structure, Margin.parse(mm)) == expected


def test_the_margin_of_a_phantom_trained_structure_keeps_its_mark_its_code_and_how_it_was_drawn(made, tmp_path):
    whole = replace(
        made.contoured,
        ctv=replace(made.contoured.ctv, phantom_trained=("Urethra",)),
        author=replace(made.contoured.author, structures="AUTOMATIC"),
    )
    request = Request(whole, ("rtstruct",), Planning(margins={"urethra": Margin.parse("2")}))
    write_structures(tmp_path / "rt.dcm", request)
    dataset = pydicom.dcmread(tmp_path / "rt.dcm")
    ctv, urethra, enlarged = dataset.StructureSetROISequence
    assert "ROIDescription" not in ctv
    assert enlarged.ROIDescription == urethra.ROIDescription
    assert enlarged.ROIGenerationAlgorithm == "AUTOMATIC"
    codes = [one.RTROIIdentificationCodeSequence[0].CodeValue for one in dataset.RTROIObservationsSequence]
    assert codes[1] == codes[2] == "13648007"


def test_a_margin_of_a_structure_that_no_model_draws_is_refused_before_anything_runs():
    planning = Planning(margins={"Bladder": Margin.parse("2")})
    with pytest.raises(SettingsError, match="There is no Bladder for --margin; the structures are CTV, Urethra"):
        planning.check_structures(["CTV", "Urethra"])
    with pytest.raises(SettingsError, match="--names has 'uretra', which is no structure"):
        Planning(names=RoiNames({"uretra": "U"})).check_structures(["CTV"])


def test_a_margin_of_a_structure_that_this_image_does_not_show_is_left_out_with_a_warning(made, tmp_path):
    manifest = {"warnings": []}
    planning = Planning(margins={"Bladder": Margin.parse("2")})
    write_structures(tmp_path / "rt.dcm", Request(made.contoured, ("rtstruct",), planning, manifest))
    assert list(rois(tmp_path / "rt.dcm")) == ["CTV", "urethra"]
    assert manifest["warnings"] == ["There is no Bladder in this image, so it has no margin in the structure set."]


def test_the_margin_of_an_organ_ends_at_the_border_of_the_image_with_a_warning(made, tmp_path):
    manifest = {"warnings": []}
    organ = np.zeros(made.truth.shape, bool)
    organ[:5, 20:30, 4:8] = True
    whole = replace(made.contoured, structures={"Bladder": organ})
    planning = Planning(margins={"Bladder": Margin.parse("3")})
    write_structures(tmp_path / "rt.dcm", Request(whole, ("rtstruct",), planning, manifest))
    assert list(rois(tmp_path / "rt.dcm")) == ["CTV", "Bladder", "Bladder_PRV03"]
    assert manifest["warnings"] == ["The Bladder with its margin touches the image's border and may be cut there."]


def test_a_tolerance_of_half_a_millimetre_leaves_fewer_points_and_the_volume_within_half_a_percent(made, tmp_path):
    whole, thin = planned(made, tmp_path / "all.dcm"), planned(made, tmp_path / "thin.dcm", tolerance_mm=0.5)
    assert points(thin, "CTV") < 0.7 * points(whole, "CTV")
    assert dicom_errors(thin) == []
    masks = plastimatch_masks(thin, made.contoured.volume, tmp_path)
    assert masks["CTV"].sum() == pytest.approx(made.truth.sum(), rel=0.005)
    assert dice(masks["CTV"], made.truth) > 0.97


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.0])
def test_the_area_of_a_thinned_disc_changes_by_at_most_half_a_percent(tolerance):
    x, y = np.ogrid[-20:21, -20:21]
    lines = closed_contours(x * x + y * y <= 18**2)
    fewer = thinned(lines, tolerance)

    def area(found):
        return sum(
            abs(np.dot(a[:, 0], np.roll(a[:, 1], -1)) - np.dot(a[:, 1], np.roll(a[:, 0], -1))) for a in found
        )

    assert len(fewer[0]) < len(lines[0])
    assert area(fewer) == pytest.approx(area(lines), rel=0.005)


def test_a_single_voxel_keeps_its_four_corners():
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True
    lines = closed_contours(mask)
    assert [line.tolist() for line in thinned(lines, 2.0)] == [line.tolist() for line in lines]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--names", "tg263"], "--names is about the structure set; add rtstruct to --format"),
        (["--format", "rtstruct", "--margin", "Urethra"], "--margin is 'Urethra', expected a structure and mm"),
        (["--format", "rtstruct", "--contour-tolerance", "5"], "expected above 0 and at most 2"),
        (["--format", "rtstruct", "--margin", "CTV=3"], "give it by --ptv-margin"),
        (
            ["--format", "rtstruct", "--margin", "Urethra=3", "--margin", "urethra=2"],
            "--margin gives urethra twice",
        ),
        (["--format", "png", "--contour-every", "5"], "about the structure set and planimetry"),
    ],
)
def test_bad_options_stop_before_anything_is_read(tmp_path, capsys, options, message):
    assert main(["segment", str(tmp_path), "-o", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err


def test_the_same_structures_give_the_same_bytes_and_other_names_another_uid(made, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        write_rtstruct(tmp_path / name, made.contoured)
    write_rtstruct(tmp_path / "c.dcm", made.contoured, names=RoiNames.of("tg263"))
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    uids = [pydicom.dcmread(tmp_path / name).SOPInstanceUID for name in ("a.dcm", "c.dcm")]
    assert uids[0] != uids[1]
