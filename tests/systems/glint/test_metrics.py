import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.systems.glint.metrics import GlintMetrics, find_peaks

from .eyes import gaussian


def logits(maps: torch.Tensor) -> torch.Tensor:
    return torch.logit(maps.clamp(1e-4, 1 - 1e-4))


def result_of(*, claimed: list[torch.Tensor], true: list[torch.Tensor], present: list[bool]) -> dict[str, float]:
    metrics = GlintMetrics(stride=4, threshold=0.3, tolerance=4.0)
    metrics.update(
        logits(torch.stack(claimed))[None], {"heatmap": torch.stack(true)[None], "present": torch.tensor([present])}
    )
    return metrics.result()


HERE, NEAR, FAR = gaussian(20, 30), gaussian(21.5, 32), gaussian(50, 30)
EMPTY = torch.zeros(16, 16)


@settings(max_examples=60, deadline=None)
@given(st.floats(6, 57), st.floats(6, 57), st.sampled_from([1, 2, 4]))
def test_a_peak_inside_is_found_to_a_twentieth_of_a_pixel_of_the_image(x: float, y: float, stride: int):
    drawn = gaussian(x, y, side=64 // stride, stride=stride)
    peaks = find_peaks(drawn[None, None], stride=stride, threshold=0.3)
    assert peaks.positions[0, 0].tolist() == pytest.approx([x, y], abs=0.05)
    assert peaks.found.all()


@pytest.mark.parametrize("x", [0.0, 1.0, 2.0, 61.0, 62.5])
@pytest.mark.parametrize("y", [0.5, 30.2, 62.0])
def test_a_peak_at_a_border_is_found_to_less_than_half_a_pixel(x: float, y: float):
    peaks = find_peaks(gaussian(x, y)[None, None], stride=4, threshold=0.3)
    assert peaks.positions[0, 0].tolist() == pytest.approx([x, y], abs=0.5)


def test_the_highest_of_several_peaks_is_taken():
    peaks = find_peaks((0.6 * HERE + 0.9 * FAR)[None, None], stride=4, threshold=0.3)
    assert peaks.positions[0, 0].tolist() == pytest.approx([50, 30], abs=0.1)


def test_low_and_empty_maps_hold_no_peak():
    peaks = find_peaks(torch.stack([EMPTY, 0.2 * HERE])[None], stride=4, threshold=0.3)
    assert peaks.found.tolist() == [[False, False]]
    assert torch.isfinite(peaks.positions).all()


def test_a_right_glint_counts_with_its_distance():
    scores = result_of(claimed=[NEAR], true=[HERE], present=[True])
    assert scores == pytest.approx({"F1": 1.0, "Precision": 1.0, "Recall": 1.0, "Error": 2.5}, abs=0.05)


def test_a_missed_glint_lowers_recall_alone():
    scores = result_of(claimed=[HERE, EMPTY], true=[HERE, FAR], present=[True, True])
    assert scores == pytest.approx({"F1": 2 / 3, "Precision": 1.0, "Recall": 0.5, "Error": 0.0}, abs=0.05)


def test_a_false_alarm_lowers_precision_alone():
    scores = result_of(claimed=[HERE, FAR], true=[HERE, EMPTY], present=[True, False])
    assert scores == pytest.approx({"F1": 2 / 3, "Precision": 0.5, "Recall": 1.0, "Error": 0.0}, abs=0.05)


def test_a_glint_in_a_wrong_place_is_a_false_alarm_and_a_miss_and_no_part_of_the_error():
    scores = result_of(claimed=[HERE, HERE], true=[HERE, FAR], present=[True, True])
    assert scores == pytest.approx({"F1": 0.5, "Precision": 0.5, "Recall": 0.5, "Error": 0.0}, abs=0.05)


def test_a_glint_that_is_not_present_does_not_exist_whatever_its_map_shows():
    scores = result_of(claimed=[HERE, EMPTY], true=[HERE, FAR], present=[True, False])
    assert (scores["F1"], scores["Recall"]) == (1.0, 1.0)


def test_a_glint_of_another_identity_is_wrong():
    assert result_of(claimed=[FAR, HERE], true=[HERE, FAR], present=[True, True])["F1"] == 0.0


def test_counts_add_up_over_batches():
    metrics = GlintMetrics(stride=4, threshold=0.3, tolerance=4.0)
    for claimed in (HERE, EMPTY, EMPTY, EMPTY):
        metrics.update(logits(claimed)[None, None], {"heatmap": HERE[None, None], "present": torch.tensor([[True]])})
    assert metrics.result()["Recall"] == 0.25


def test_results_stand_before_any_update_and_are_the_worst():
    metrics = GlintMetrics(stride=4, threshold=0.3, tolerance=4.0)
    assert metrics.result() == {"F1": 0.0, "Precision": 0.0, "Recall": 0.0, "Error": 4.0}
