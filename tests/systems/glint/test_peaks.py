import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.systems.glint.peaks import find_peaks

from .eyes import gaussian

HERE, FAR = gaussian(20, 30), gaussian(50, 30)
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


@settings(max_examples=60, deadline=None)
@given(st.floats(14, 49), st.floats(14, 49), st.sampled_from([1, 2]))
def test_the_middle_of_a_plateau_is_found_to_a_fifth_of_a_pixel_of_the_map(x: float, y: float, stride: int):
    # What a focal loss makes of a Gaussian: everything above one half goes to 1, the rest to 0, with a soft edge.
    plateau = torch.sigmoid((gaussian(x, y, side=64 // stride, stride=stride) - 0.5) * 20)
    peaks = find_peaks(plateau[None, None], stride=stride, threshold=0.3)
    assert peaks.positions[0, 0].tolist() == pytest.approx([x, y], abs=0.2 * stride)


def test_a_second_peak_does_not_draw_the_first_one_away():
    both = torch.maximum(gaussian(20, 30, side=32, stride=2), 0.8 * gaussian(44, 30, side=32, stride=2))
    peaks = find_peaks(both[None, None], stride=2, threshold=0.3)
    assert peaks.positions[0, 0].tolist() == pytest.approx([20, 30], abs=0.15)


def test_a_border_on_one_side_leaves_the_other_direction_exact():
    plateau = torch.sigmoid((gaussian(2, 31.3, side=32, stride=2) - 0.5) * 20)
    peaks = find_peaks(plateau[None, None], stride=2, threshold=0.3)
    assert peaks.positions[0, 0, 1].tolist() == pytest.approx(31.3, abs=0.3)
