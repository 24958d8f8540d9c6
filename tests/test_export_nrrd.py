import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy.spatial.transform import Rotation

from prostate_seg.errors import OutputError
from prostate_seg.geometry.volume import Segmentation, Volume, affine_from_lps, swap_ras_lps
from prostate_seg.writing.nrrd import write_nrrd, write_seg_nrrd

SHAPE = (7, 5, 3)


def oblique():
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix() * (0.31, 0.42, 5.0)
    affine[:3, 3] = (123.4, -210.5, 87.6)
    return affine


@pytest.fixture
def labels():
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 1:4, 1] = 1
    labels[3, 2, 1] = 3
    return labels


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_the_far_voxel_of_an_oblique_grid_is_read_within_a_ten_thousandth_of_a_mm(tmp_path, name):
    values = np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE)
    affine = oblique()
    write_nrrd(tmp_path / name, Volume(values, affine))
    image = sitk.ReadImage(str(tmp_path / name))
    far = [6, 4, 2]
    lps = (swap_ras_lps(affine) @ [*far, 1])[:3]
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(far), lps, atol=1e-4)
    assert image.GetSize() == SHAPE
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), values)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    back = affine_from_lps(direction, np.array(image.GetSpacing()), np.array(image.GetOrigin()))
    np.testing.assert_allclose(back, affine, atol=1e-4)


def test_a_volume_is_compressed_and_says_its_space(tmp_path):
    write_nrrd(tmp_path / "a.nrrd", Volume(np.zeros((64, 64, 32), np.uint8), oblique()))
    content = (tmp_path / "a.nrrd").read_bytes()
    assert b"encoding: gzip" in content
    assert b"space: left-posterior-superior" in content
    assert len(content) < 2000  # of 131072 bytes


def test_a_segmentation_carries_slicers_names_colours_and_terminology(tmp_path, labels):
    path = tmp_path / "ctv.seg.nrrd"
    write_seg_nrrd(path, Segmentation(labels, oblique(), {1: "CTV", 3: "urethra", 4: "somewhere"}))
    image = sitk.ReadImage(str(path))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), labels)
    assert image.GetPixelID() == sitk.sitkUInt8
    key = image.GetMetaData
    assert [key(f"Segment{n}_Name") for n in range(3)] == ["CTV", "urethra", "somewhere"]
    assert [key(f"Segment{n}_LabelValue") for n in range(3)] == ["1", "3", "4"]
    assert len({key(f"Segment{n}_ID") for n in range(3)}) == 3
    assert key("Segment0_Extent") == "0 6 0 4 0 2"
    assert key("Segmentation_MasterRepresentation") == "Binary labelmap"
    assert key("Segmentation_ContainedRepresentationNames") == "Binary labelmap|"
    colours = {key(f"Segment{n}_Color") for n in range(3)}
    assert len(colours) == 3
    assert all(0 <= float(part) <= 1 for colour in colours for part in colour.split())


def test_tags_end_with_a_bar_and_name_the_ctv_by_its_dicom_and_snomed_codes(tmp_path, labels):
    path = tmp_path / "ctv.seg.nrrd"
    write_seg_nrrd(path, Segmentation(np.minimum(labels, 1), oblique(), {1: "CTV", 2: "somewhere"}))
    image = sitk.ReadImage(str(path))
    tags = image.GetMetaData("Segment0_Tags")
    assert tags.endswith("|")
    assert "DCM^130041^RT Target~SCT^228792002^CTV~" in tags
    assert "SCT^41216001^Prostate~^^|" in tags
    assert tags.count("~") == 6  # seven parts: context, category, type, modifier; context, region, modifier
    assert "SCT^85756007^Tissue~SCT^85756007^Tissue~" in image.GetMetaData("Segment1_Tags")


def test_an_empty_segmentation_is_an_empty_segment(tmp_path):
    write_seg_nrrd(tmp_path / "e.seg.nrrd", Segmentation(np.zeros(SHAPE, np.uint8), oblique()))
    image = sitk.ReadImage(str(tmp_path / "e.seg.nrrd"))
    assert image.GetMetaData("Segment0_Name") == "CTV"
    assert not sitk.GetArrayFromImage(image).any()


def test_a_label_without_a_name_and_a_wrong_suffix_are_refused(tmp_path, labels):
    with pytest.raises(OutputError, match=r"labels \[3\] have no name; add them"):
        write_seg_nrrd(tmp_path / "a.seg.nrrd", Segmentation(labels, oblique()))
    with pytest.raises(OutputError, match=r"a\.nrrd: its name must end in \.seg\.nrrd"):
        write_seg_nrrd(tmp_path / "a.nrrd", Segmentation(labels, oblique()))
    assert list(tmp_path.iterdir()) == []
