import numpy as np
import pytest
import torch
from monai.metrics import PanopticQualityMetric

from prostate_seg.errors import GeometryError
from prostate_seg.evaluation.metrics import panoptic_counts, panoptic_quality, slice_presence


def strip(start, stop, length=20):
    mask = np.zeros((length, 4, 4), bool)
    mask[start:stop] = True
    return mask


def test_an_iou_of_exactly_one_half_is_no_match_and_9_of_11_is_one():
    half = panoptic_counts({"ctv": strip(0, 10)}, {"ctv": strip(0, 5)})["ctv"]
    assert (half.matched, half.unmatched_predictions, half.unmatched_references) == (0, 1, 1)
    assert half.quality == 0.0
    more = panoptic_counts({"ctv": strip(0, 10)}, {"ctv": strip(1, 11)})["ctv"]
    assert more.iou == pytest.approx(9 / 11)
    assert more.quality == more.segmentation_quality == pytest.approx(9 / 11)


def test_counts_are_added_over_the_data_set_before_they_are_divided():
    images = [
        panoptic_counts({"ctv": strip(0, 10)}, {"ctv": strip(0, 10)}),  # IoU 1
        panoptic_counts({"ctv": strip(0, 10)}, {"ctv": strip(0, 8)}),  # IoU 0.8
        panoptic_counts({}, {"ctv": strip(0, 10)}),  # missed
    ]
    total = panoptic_quality(images)["ctv"]
    assert total.segmentation_quality == pytest.approx(0.9)
    assert total.recognition_quality == pytest.approx(2 / 2.5)
    assert total.quality == pytest.approx(0.72)  # the mean of the images would be 0.6


def test_void_counts_in_no_union_and_excuses_a_prediction_that_is_mostly_void():
    void = strip(10, 20)
    there = panoptic_counts({"ctv": strip(5, 15)}, {"ctv": strip(5, 10)}, void=void)["ctv"]
    assert there.iou == 1.0  # of 10 predicted, 5 are void
    alone = panoptic_counts({"ctv": strip(9, 15)}, {}, void=void)["ctv"]
    assert (alone.matched, alone.unmatched_predictions) == (0, 0)
    assert alone.quality is None


def test_structures_that_nest_are_scored_one_by_one():
    both = {"ctv": strip(0, 10), "urethra": strip(4, 6)}
    counts = panoptic_counts(both, both | {"urethra": strip(14, 16)})
    assert counts["ctv"].quality == 1.0
    assert counts["urethra"].quality == 0.0


def test_a_contour_one_slice_too_long_at_each_end_of_ten_has_rq_10_of_11():
    reference, prediction = np.zeros((2, 6, 6, 14), bool)
    reference[1:5, 1:5, 2:12] = prediction[1:5, 1:5, 1:13] = True
    presence = slice_presence(prediction, reference)
    assert presence.recognition_quality == pytest.approx(10 / 11)
    assert presence.segmentation_quality == 1.0


@pytest.mark.parametrize("stop", [11, 13, 16, 25])
def test_monai_agrees_on_one_segment_up_to_its_smoothing(stop):
    drawn, truth = strip(0, stop, 30), strip(0, 10, 30)
    ours = panoptic_counts({"ctv": drawn}, {"ctv": truth})["ctv"].quality
    maps = [torch.as_tensor(np.stack([mask, mask])[None, :, :, :, 0].astype(int)) for mask in (drawn, truth)]
    metric = PanopticQualityMetric(num_classes=1, metric_name="pq")
    metric(*maps)
    assert float(metric.aggregate()) == pytest.approx(ours, abs=1e-5)


def test_a_void_of_another_shape_is_refused():
    with pytest.raises(GeometryError, match="The void has shape"):
        panoptic_counts({"ctv": strip(0, 3)}, {}, void=np.zeros((2, 2, 2), bool))
