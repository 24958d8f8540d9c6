"""Volume and Segmentation refuse what they cannot mean, and their text identifies nobody."""

import math
import re

import numpy as np
import pytest
from pydicom import Dataset

from prostate_seg.errors import GeometryError, InputError
from prostate_seg.geometry.source import FrameReference, Source
from prostate_seg.geometry.volume import Segmentation, Volume

SHAPE = (2, 3, 4)


def test_house_17_the_texts_of_4_types_hold_neither_name_nor_identifier():
    header = Dataset()
    header.PatientName, header.PatientID, header.StudyDate = "Weber^Hans", "ID-4711", "20240131"
    frame = FrameReference("1.2.840.99.4711", 3)
    source = Source("us-series", "abc4711", (frame,) * 4, header)
    volume = Volume(np.zeros(SHAPE, np.uint8), np.diag([0.5, 0.5, 2.0, 1.0]), source=source, warnings=("Weber",))
    segmentation = Segmentation(np.zeros(SHAPE, np.uint8), np.eye(4), {1: "Weber"})
    for item in (frame, source, volume, segmentation, [volume], {"a": segmentation}):
        for secret in ("Weber", "4711", "2024", "1.2.840"):
            assert secret not in repr(item)
            assert secret not in str(item)
        assert len(repr(item)) < 120
    assert repr(frame) == "FrameReference(frame 3)"
    assert repr(source) == "Source(us-series, 4 frame references)"
    assert repr(volume) == "Volume(2 x 3 x 4 uint8, 0.5 x 0.5 x 2 mm, orientation file)"
    assert repr(segmentation) == "Segmentation(2 x 3 x 4 uint8, 1 x 1 x 1 mm, 1 named labels)"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_house_21_a_volume_with_1_voxel_that_is_not_finite_is_refused(value, dtype):
    array = np.zeros(SHAPE, dtype)
    array[1, 2, 3] = value
    with pytest.raises(GeometryError, match="finite values, got NaN or infinity"):
        Volume(array, np.eye(4))
    with pytest.raises(GeometryError, match="finite values"):
        Volume(np.zeros(SHAPE), np.eye(4)).with_array(array)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_house_21_a_volume_of_24_finite_voxels_is_taken(dtype):
    assert Volume(np.ones(SHAPE, dtype), np.eye(4)).array.sum() == 24


def test_house_21_a_probability_of_2_x_3_x_5_voxels_for_2_x_3_x_4_labels_is_refused():
    with pytest.raises(
        GeometryError, match=r"The probability has shape \(2, 3, 5\), expected the labels' \(2, 3, 4\)"
    ):
        Segmentation(np.zeros(SHAPE, np.uint8), np.eye(4), probability=np.zeros((2, 3, 5), np.float32))


def test_g3_an_affine_of_1e200_mm_whose_volume_overflows_is_refused_without_a_warning(recwarn):
    with pytest.raises(GeometryError, match="onto a plane"):
        Volume(np.zeros(SHAPE, np.uint8), np.diag([1e200, 1e200, 1e200, 1.0]))
    assert len(recwarn) == 0


def test_a_segmentation_gives_the_voxels_of_each_structure_by_name():
    labels = np.zeros(SHAPE, np.uint8)
    labels[0], labels[1, 0] = 1, 2
    two = Segmentation(labels, np.diag([10.0, 10.0, 10.0, 1.0]), {1: "CTV", 2: "urethra"})
    assert two.mask().sum() == two.mask("CTV").sum() == 12
    assert two.mask("urethra").sum() == 4
    assert two.volume_ml == pytest.approx(12.0)
    for names in ({}, {0: "background", 1: "CTV"}, {256: "CTV"}):
        with pytest.raises(GeometryError, match="Labels with names are 1 to 255"):
            Segmentation(labels, np.eye(4), names)
    with pytest.raises(InputError, match="no structure called bladder, only CTV, urethra"):
        two.mask("bladder")


def test_ctv_and_label_1_are_written_where_structures_are_defined_alone(repository):
    found = {
        path.relative_to(repository / "prostate_seg").as_posix()
        for path in (repository / "prostate_seg").rglob("*.py")
        if re.search(r"""["']CTV["']|labels == 1\b""", path.read_text())
    }
    assert found == {"geometry/structures.py"}
