"""Overlapping structures in 3D Slicer's own libraries, and through every format that holds several."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from judges import dcmqi_mask, dicom_errors, plastimatch_masks, study

from prostate_seg import read
from prostate_seg.cases.export import ExportOptions, export_case
from prostate_seg.geometry.resample import turned_like
from prostate_seg.geometry.structures import structure
from prostate_seg.phantom import make_phantom
from prostate_seg.reading.masks import read_mask, read_segments
from prostate_seg.writing.formats import FORMATS
from prostate_seg.writing.nrrd import layered, write_nrrd, write_seg_nrrd
from prostate_seg.writing.request import Request

SEED = 8  # a phantom whose small picture shows every structure
WHOLE = ("Peripheral zone", "Transition zone", "Urethra", "Rectal wall", "Bladder", "Seminal vesicles")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study with all structures of a phantom; the urethra overlaps the zones, and they overlap the CTV."""
    made = study(tmp_path_factory.mktemp("made"), "series")
    phantom = make_phantom(SEED, shape=(80, 60, 12), spacing_mm=(1.2, 1.0, 4.0))
    masks = {structure(name).name: mask for name, mask in phantom.structures.items() if name != "ctv"}
    assert all(masks[name].any() for name in WHOLE)
    ctv = replace(made.contoured.ctv, phantom_trained=WHOLE, source_sha256="0" * 64)
    made.contoured = replace(made.contoured, ctv=ctv, structures={name: masks[name] for name in WHOLE})
    return made


def written(made, name):
    path = made.folder / FORMATS[name].file
    if not path.exists():
        FORMATS[name].write(path, Request(made.contoured, (name,)))
    return path


def test_structures_that_overlap_nothing_lie_in_one_layer_and_are_written(made, tmp_path):
    names = ("Rectal wall", "Bladder")
    alone = {name: made.contoured.structures[name] & ~made.contoured.ctv.mask() for name in names}
    write_seg_nrrd(tmp_path / "a.seg.nrrd", replace(made.contoured, structures=alone).segmentation)
    found, _ = read_segments(tmp_path / "a.seg.nrrd")
    assert {name: int(mask.sum()) for name, mask in found.items()} == {
        "CTV": int(made.truth.sum()),
        **{name: int(mask.sum()) for name, mask in alone.items()},
    }


def test_a_structure_gets_a_free_value_even_if_the_highest_is_taken(made):
    taken = replace(
        made.contoured.segmentation, names={255: "CTV"}, labels=made.contoured.ctv.labels * np.uint8(255)
    )
    assert [one.value for one in layered(taken, "x")[1]] == [255, 1, 2, 3, 4, 5, 6]


def test_rows_of_a_users_own_table_are_written_with_their_codes_and_colour(made, tmp_path):
    lesion = replace(structure("GTV"), name="Lesion", colour=(1, 2, 3))
    ctv = replace(made.contoured.ctv, meanings={"lesion": lesion}, phantom_trained=())
    whole = replace(made.contoured, ctv=ctv, structures={"Lesion": made.contoured.structures["Urethra"]})
    for name in ("rtstruct", "dicom-seg", "seg-nrrd"):
        FORMATS[name].write(tmp_path / FORMATS[name].file, Request(whole, (name,)))
    rois = pydicom.dcmread(tmp_path / FORMATS["rtstruct"].file)
    assert rois.RTROIObservationsSequence[1].RTROIInterpretedType == "GTV"
    assert list(rois.ROIContourSequence[1].ROIDisplayColor) == [1, 2, 3]
    segment = pydicom.dcmread(tmp_path / FORMATS["dicom-seg"].file, stop_before_pixels=True).SegmentSequence[1]
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == structure("GTV").type.value
    header = (tmp_path / FORMATS["seg-nrrd"].file).read_bytes().split(b"\n\n")[0].decode()
    assert f"SCT^{structure('GTV').type.value}^GTV" in header


def test_exporting_a_phantom_trained_structure_keeps_its_mark(made, tmp_path):
    write_seg_nrrd(tmp_path / "ctv.seg.nrrd", made.contoured.segmentation)
    write_nrrd(tmp_path / "image.nrrd", made.contoured.volume)
    options = ExportOptions(
        tmp_path / "ctv.seg.nrrd", ("seg-nrrd",), tmp_path / "image.nrrd", "CTV", ("Urethra", "Bladder")
    )
    image = read(tmp_path / "image.nrrd")
    write_seg_nrrd(
        tmp_path / "ctv.seg.nrrd", replace(made.contoured.segmentation, source_sha256=image.source.sha256)
    )
    done = export_case(options, tmp_path / "out")
    header = (done.folder / "ctv.seg.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert header.count("ProstateSeg.LearntOn:phantoms|") == 2
    assert any(note.startswith("Phantom-trained, not tried on a patient: Urethra, Bladder") for note in done.notes)


def test_export_takes_the_segment_called_ctv_and_all_others_if_asked(made, tmp_path):
    write_nrrd(tmp_path / "image.nrrd", made.contoured.volume)
    sha256 = read(tmp_path / "image.nrrd").source.sha256
    write_seg_nrrd(tmp_path / "a.seg.nrrd", replace(made.contoured.segmentation, source_sha256=sha256))
    for wanted, expected in (((), ["CTV"]), (("urethra",), ["CTV", "Urethra"]), (("all",), ["CTV", *WHOLE])):
        options = ExportOptions(tmp_path / "a.seg.nrrd", ("seg-nrrd",), tmp_path / "image.nrrd", structures=wanted)
        done = export_case(options, tmp_path / f"out{len(wanted)}{len(expected)}")
        assert list(read_segments(done.folder / "ctv.seg.nrrd")[0]) == expected


def test_overlapping_structures_need_three_layers(made):
    layers, segments = layered(made.contoured.segmentation, "x.seg.nrrd")
    assert len(layers) == 3
    assert {one.name: one.layer for one in segments}["CTV"] == 0
    assert [one.value for one in segments] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("name", ["seg-nrrd", "dicom-seg", "rtstruct", "panoptic"])
def test_every_structure_comes_back_voxel_for_voxel(made, name):
    path = written(made, name)
    path = path / "panoptic.nii.gz" if name == "panoptic" else path
    for structure_name, mask in made.contoured.masks.items():
        found = read_mask(path, like=made.contoured.ctv, structure=structure_name)
        found = turned_like(found, made.contoured.ctv)
        assert np.array_equal(found.mask(), mask), structure_name


@pytest.mark.parametrize("name", ["dicom-seg", "rtstruct"])
def test_dciodvfy_finds_no_error_with_all_structures(made, name):
    assert dicom_errors(written(made, name)) == []


def test_dcmqi_gives_back_the_urethra_of_the_segmentation(made, tmp_path):
    mask, _ = dcmqi_mask(written(made, "dicom-seg"), tmp_path / "dcmqi", segment=4)
    assert np.count_nonzero(mask) == np.count_nonzero(made.contoured.structures["Urethra"])


def test_plastimatch_rasterises_every_structure_of_the_structure_set(made, tmp_path):
    masks = plastimatch_masks(written(made, "rtstruct"), made.contoured.volume, tmp_path)
    assert len(masks) == 7
    for name, mask in made.contoured.structures.items():
        found = next(value for key, value in masks.items() if key.replace("_", " ") == name)
        assert np.array_equal(found, mask), name


def test_phantom_trained_is_said_in_segments_rois_and_tags(made):
    seg = pydicom.dcmread(written(made, "dicom-seg"), stop_before_pixels=True)
    assert [one.get("SegmentDescription", "")[:15] for one in seg.SegmentSequence] == ["", *["phantom-trained"] * 6]
    rois = pydicom.dcmread(written(made, "rtstruct")).StructureSetROISequence
    assert [one.get("ROIDescription", "")[:15] for one in rois] == ["", *["phantom-trained"] * 6]
    header = written(made, "seg-nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert header.count("ProstateSeg.LearntOn:phantoms|") == 6


@pytest.mark.slicer
def test_slicer_loads_and_saves_every_overlapping_segment(made, tmp_path):
    from slicer_scene import Scene, segment_voxels

    scene = Scene()
    node = scene.load_segmentation(written(made, "seg-nrrd"))
    assert node.GetSegmentation().GetNumberOfSegments() == 7
    counts = [len(segment_voxels(node, index)) for index in range(7)]
    assert counts == [np.count_nonzero(mask) for mask in made.contoured.masks.values()]
    scene.save_segmentation(node, tmp_path / "saved.seg.nrrd")
    saved, _ = read_segments(tmp_path / "saved.seg.nrrd")
    assert {name: int(mask.sum()) for name, mask in saved.items()} == {
        name: int(np.count_nonzero(mask)) for name, mask in made.contoured.masks.items()
    }


@pytest.mark.slicer
def test_slicer_opens_a_scene_with_all_structures(made):
    from slicer_scene import Scene

    scene = Scene().open(written(made, "slicer"))
    segmentation = scene.node("CTV").GetSegmentation()
    names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
    assert names == ["CTV", *WHOLE]
    assert Path(written(made, "slicer")).stat().st_size > 0
