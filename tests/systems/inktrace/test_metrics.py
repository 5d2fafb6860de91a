import math

import pytest
import torch
from torch.utils.data import default_collate

from holdfast.systems.inktrace.config import InkDetection
from holdfast.systems.inktrace.data import build_data
from holdfast.systems.inktrace.keypoints import peaks, within
from holdfast.systems.inktrace.metrics import InkMetrics, build_metrics, matched_pixels
from holdfast.systems.inktrace.model import Prediction

from .drawings import Knows, config_for, logits, marks


def line(row: int, *, start: int = 2, stop: int = 14) -> torch.Tensor:
    return marks(16, *((row, column) for column in range(start, stop))) > 0


def scores(said: dict[str, torch.Tensor], true: dict[str, torch.Tensor]) -> dict[str, float]:
    empty = {"skeleton": marks(16), "tangent": torch.zeros(1, 2, 16, 16), "keypoints": marks(16, channels=2),
             "width": marks(16), "offset": torch.zeros(1, 2, 16, 16)}  # fmt: skip
    said, true = (
        {name: part[name].float() if name in part else empty[name] for name in empty} for part in (said, true)
    )
    metrics = InkMetrics(InkDetection(), full=True)
    claims = {name: logits(field) if name in ("skeleton", "keypoints") else field for name, field in said.items()}
    metrics.update(Prediction(**claims), true)
    return metrics.result()


def test_a_line_that_is_off_by_a_pixel_matches_whole_and_one_that_is_off_by_two_not_at_all():
    for shift, count in ((0, 12), (1, 12), (2, 0)):
        assert matched_pixels(line(5 + shift), line(5)) == count
    diagonal = marks(16, *((k, k) for k in range(12))) > 0
    assert matched_pixels(torch.roll(diagonal, (1, 0), (2, 3)), diagonal) == 12


def test_matches_are_one_to_one_so_a_thick_line_is_not_precise():
    """A tolerance without pairs would call every pixel of it right."""
    thick = line(4) | line(5) | line(6)
    assert matched_pixels(thick, line(5)) == 12
    result = scores({"skeleton": thick}, {"skeleton": line(5)})
    assert (result["Recall"], result["Precision"]) == (1.0, pytest.approx(1 / 3))
    assert result["F1"] == pytest.approx(0.5)
    without_pairs = (thick & within(line(5), 1)).sum() / thick.sum()
    assert without_pairs == 1


def test_a_pixel_at_one_side_does_not_match_one_at_the_other():
    assert matched_pixels(marks(16, (3, 0)) > 0, marks(16, (3, 15)) > 0) == 0


def test_iou_is_exact():
    result = scores({"skeleton": line(5, stop=8)}, {"skeleton": line(5)})
    assert result["IoU"] == pytest.approx(6 / 12)
    assert scores({"skeleton": line(6)}, {"skeleton": line(5)})["IoU"] == 0


def test_the_chance_that_counts_is_the_configured_one():
    claims = Prediction(skeleton=torch.logit(0.3 * line(5) + 0.01), tangent=torch.zeros(1, 2, 16, 16))
    true = {"skeleton": line(5).float(), "tangent": torch.zeros(1, 2, 16, 16)}
    for threshold, f1 in ((0.5, 0.0), (0.2, 1.0)):
        metrics = InkMetrics(InkDetection(skeleton=threshold), full=False)
        metrics.update(claims, true)
        assert metrics.result()["F1"] == f1


def test_peaks_are_as_high_as_all_around_them():
    chances = torch.zeros(1, 1, 8, 8)
    chances[0, 0, 2, 2:5] = torch.tensor([0.4, 0.9, 0.5])
    chances[0, 0, 6, 6] = 0.3
    assert torch.argwhere(peaks(chances, 0.2)[0, 0]).tolist() == [[2, 3], [6, 6]]
    assert torch.argwhere(peaks(chances, 0.35)[0, 0]).tolist() == [[2, 3]]


@pytest.mark.parametrize("off, found", [((0, 0), 1.0), ((2, 0), 1.0), ((1, 1), 1.0), ((2, 1), 0.0), ((3, 0), 0.0)])
def test_a_key_point_counts_within_two_pixels(off: tuple[int, int], found: float):
    result = scores(
        {"keypoints": marks(16, (8 + off[0], 8 + off[1]), channels=2)}, {"keypoints": marks(16, (8, 8), channels=2)}
    )
    assert (result["NodeRecall"], result["KeypointRecall"], result["KeypointPrecision"]) == (found, found, found)


def test_a_node_is_no_anchor():
    result = scores({"keypoints": marks(16, (8, 8), channels=2).flip(1)}, {"keypoints": marks(16, (8, 8), channels=2)})
    assert (result["NodeRecall"], result["AnchorRecall"], result["KeypointPrecision"]) == (0, 0, 0)


@pytest.mark.parametrize("said, true, error", [(10, 10, 0), (170, 10, 20), (100, 10, 90), (0, 180, 0), (45, 0, 45)])
def test_the_angle_error_is_that_of_directions_without_a_sign(said: float, true: float, error: float):
    def double(angle: float) -> torch.Tensor:
        doubled = math.radians(2 * angle)
        return torch.tensor([math.cos(doubled), math.sin(doubled)])[None, :, None, None].expand(1, 2, 16, 16)

    result = scores({"tangent": 0.3 * double(said)}, {"tangent": double(true), "skeleton": line(5)})
    assert result["AngleError"] == pytest.approx(error, abs=1e-3)


def test_errors_of_width_and_place_are_in_pixels_and_on_the_skeleton():
    skeleton = line(5).float()
    said = {"width": 0.35 * torch.ones(1, 1, 16, 16), "offset": torch.full((1, 2, 16, 16), 0.3)}
    true = {
        "skeleton": skeleton,
        "width": 0.2 * skeleton,
        "offset": torch.tensor([0.3, -0.1])[:, None, None] * skeleton,
    }
    result = scores(said, true)
    assert (result["WidthError"], result["OffsetError"]) == (pytest.approx(1.5), pytest.approx(0.4))


def test_who_knows_the_truth_has_full_marks():
    config = config_for(training={"curriculum": {"start": 9, "end": 9}})
    train = build_data(config).train
    batch = default_collate([train[index] for index in range(3)])
    metrics = build_metrics(config)
    metrics.update(Knows(batch)(batch["image"]), batch)
    shares = {name: value for name, value in metrics.result().items() if not name.endswith("Error")}
    errors = [value for name, value in metrics.result().items() if name.endswith("Error")]
    assert shares == dict.fromkeys(shares, 1.0)
    assert max(errors) == pytest.approx(0, abs=1e-3)


def test_the_names_are_known_before_anything_is_counted_and_are_those_of_the_heads():
    full, structural = (build_metrics(config_for(model={"full_heads": each})).result() for each in (True, False))
    assert set(structural) == {"F1", "Precision", "Recall", "IoU", "AngleError"}
    assert set(full) == set(structural) | {
        "KeypointRecall", "KeypointPrecision", "NodeRecall", "AnchorRecall", "WidthError", "OffsetError",
    }  # fmt: skip
    assert set(full.values()) == {0.0}


def test_batches_add_up():
    config = config_for()
    train = build_data(config).train
    samples = [train[index] for index in range(4)]
    whole, parts = build_metrics(config), build_metrics(config)
    torch.manual_seed(0)
    batch = default_collate(samples)
    noise = Knows({name: (field + 0.4 * torch.rand_like(field)).clamp(0, 1) for name, field in batch.items()})
    said = noise(batch["image"])
    whole.update(said, batch)
    for part in (slice(0, 1), slice(1, 4)):
        fields = {name: field[part] for name, field in said._asdict().items()}
        parts.update(Prediction(**fields), {name: field[part] for name, field in batch.items()})
    assert parts.result() == pytest.approx(whole.result())
