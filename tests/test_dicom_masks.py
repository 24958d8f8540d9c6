"""DICOM Segmentations and structure sets as masks: ours, and as other programs write them."""

from dataclasses import replace

import numpy as np
import pytest
from judges import KINDS, dice, study

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.evaluation import evaluate_folders
from prostate_seg.geometry.resample import turned_like
from prostate_seg.geometry.volume import Segmentation
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing import write
from prostate_seg.writing.dicom.segmentation import write_dicom_probability, write_dicom_seg
from prostate_seg.writing.dicom.structure_set import write_rtstruct


@pytest.mark.parametrize("kind", KINDS)
def test_a_segmentation_comes_back_with_every_voxel_at_its_place(tmp_path, kind):
    made = study(tmp_path, kind, turn="oblique")
    write_dicom_seg(tmp_path / "seg.dcm", made.contoured)
    found = turned_like(read_mask(tmp_path / "seg.dcm"), made.contoured.ctv)
    assert np.array_equal(found.labels, made.contoured.ctv.labels)
    np.testing.assert_allclose(found.affine, made.contoured.volume.affine, atol=1e-3)


def test_contours_on_the_grid_of_a_mask_give_it_back_exactly_with_holes_and_islands(tmp_path):
    made = study(tmp_path, "series", turn="oblique")
    labels = made.contoured.ctv.labels.copy()
    middle = [int(v) for v in np.argwhere(labels).mean(axis=0)]
    labels[middle[0] - 4 : middle[0] + 5, middle[1] - 4 : middle[1] + 5, middle[2]] = 0
    labels[middle[0], middle[1], middle[2]] = 1
    contoured = replace(made.contoured, ctv=Segmentation(labels, made.contoured.volume.affine))
    write_rtstruct(tmp_path / "rt.dcm", contoured)
    found = read_mask(tmp_path / "rt.dcm", like=contoured.ctv)
    assert np.array_equal(found.labels, labels)


def test_a_probability_is_cut_at_one_half(tmp_path):
    made = study(
        tmp_path, "multiframe", probability=np.linspace(0, 1, 80 * 60 * 12, dtype=np.float32).reshape(80, 60, 12)
    )
    write_dicom_probability(tmp_path / "p.dcm", made.contoured)
    found = turned_like(read_mask(tmp_path / "p.dcm"), made.contoured.ctv).labels
    assert dice(found == 1, made.contoured.ctv.probability >= 0.5) > 0.999


def test_a_folder_of_nifti_is_evaluated_against_segmentations_and_structure_sets_mixed(tmp_path):
    predictions, references = tmp_path / "pred", tmp_path / "ref"
    predictions.mkdir()
    references.mkdir()
    for name in "abc":
        made = study(tmp_path / name, "multiframe")
        write(made.contoured.ctv, predictions / f"{name}.nii.gz")
        if name == "a":
            write_dicom_seg(references / "a.dcm", made.contoured)
        elif name == "b":
            write_rtstruct(references / "b.dcm", made.contoured)
        else:
            write(made.contoured.ctv, references / "c.seg.nrrd")
    rows = evaluate_folders(predictions, references)
    assert [(row.case, row.error, row.metrics.dice, row.metrics.hd_mm) for row in rows] == [
        (name, "", 1.0, 0.0) for name in "abc"
    ]
    back = evaluate_folders(references, predictions)
    assert [row.metrics.dice for row in back] == [1.0, 1.0, 1.0]


def test_what_is_no_mask_is_refused(tmp_path):
    made = study(tmp_path, "multiframe")
    with pytest.raises(InputError, match="neither a DICOM Segmentation nor an RT Structure Set"):
        read_mask(next((tmp_path / "source").iterdir()))
    write_rtstruct(tmp_path / "rt.dcm", made.contoured)
    with pytest.raises(GeometryError, match="has contours but no grid"):
        read_mask(tmp_path / "rt.dcm")
    affine = np.array(made.contoured.volume.affine)
    affine[2, 3] += 1.7
    with pytest.raises(GeometryError, match="lies on no slice of the other mask's grid"):
        read_mask(tmp_path / "rt.dcm", like=Segmentation(made.contoured.ctv.labels, affine))
    two = {"urethra": made.contoured.structures["urethra"], "gland": made.truth}
    write_dicom_seg(tmp_path / "seg.dcm", replace(made.contoured, structures=two))
    assert read_mask(tmp_path / "seg.dcm").labels.any()  # of three, the one called CTV


def test_axes_are_turned_only_where_both_hold_the_same_voxels():
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 2
    flip = np.eye(4)
    flip[2, 2], flip[2, 3] = -1, 3
    turned = turned_like(Segmentation(labels[:, :, ::-1].copy(), flip), Segmentation(labels, np.eye(4)))
    assert np.array_equal(turned.labels, labels)
    shifted = np.eye(4)
    shifted[0, 3] = 1
    assert np.array_equal(
        turned_like(Segmentation(labels, shifted), Segmentation(labels, np.eye(4))).affine, shifted
    )


def test_axes_in_another_order_are_put_back():
    labels = (np.arange(24).reshape(2, 3, 4) % 5 == 0).astype(np.uint8)
    here = Segmentation(labels, np.eye(4))
    swapped = Segmentation(labels.transpose(2, 0, 1).copy(), np.eye(4)[:, [2, 0, 1, 3]])
    assert np.array_equal(turned_like(swapped, here).labels, labels)
