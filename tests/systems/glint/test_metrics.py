import pytest
import torch

from holdfast.systems.glint.metrics import GlintMetrics

from .eyes import gaussian


def logits(maps: torch.Tensor) -> torch.Tensor:
    return torch.logit(maps.clamp(1e-4, 1 - 1e-4))


def result_of(*, claimed: list[torch.Tensor], true: list[torch.Tensor], present: list[bool]) -> dict[str, float]:
    return {name: value for name, value in all_of(claimed, true, present).items() if "/" not in name}


def all_of(claimed: list[torch.Tensor], true: list[torch.Tensor], present: list[bool]) -> dict[str, float]:
    metrics = GlintMetrics(num_glints=len(claimed), stride=4, threshold=0.3, tolerance=4.0)
    metrics.update(
        logits(torch.stack(claimed))[None], {"heatmap": torch.stack(true)[None], "present": torch.tensor([present])}
    )
    return metrics.result()


HERE, NEAR, FAR = gaussian(20, 30), gaussian(21.5, 32), gaussian(50, 30)
EMPTY = torch.zeros(16, 16)


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
    metrics = GlintMetrics(num_glints=1, stride=4, threshold=0.3, tolerance=4.0)
    for claimed in (HERE, EMPTY, EMPTY, EMPTY):
        metrics.update(logits(claimed)[None, None], {"heatmap": HERE[None, None], "present": torch.tensor([[True]])})
    assert metrics.result()["Recall"] == 0.25


def test_results_stand_before_any_update_and_are_the_worst():
    metrics = GlintMetrics(num_glints=1, stride=4, threshold=0.3, tolerance=4.0)
    worst = {"F1": 0.0, "Precision": 0.0, "Recall": 0.0, "Error": 4.0}
    assert metrics.result() == worst | {f"{name}/g1": value for name, value in worst.items()}


def test_each_glint_has_its_own_scores_beside_those_over_all():
    # g1 is right and 2.5 pixels off, g2 is missed, g3 is a false alarm.
    scores = all_of([NEAR, EMPTY, FAR], [HERE, FAR, EMPTY], [True, True, False])
    assert scores["F1"] == pytest.approx(0.5)
    assert [scores[f"F1/g{glint}"] for glint in (1, 2, 3)] == [1.0, 0.0, 0.0]
    assert [scores[f"Recall/g{glint}"] for glint in (1, 2, 3)] == [1.0, 0.0, 0.0]
    assert [scores[f"Precision/g{glint}"] for glint in (1, 2, 3)] == [1.0, 0.0, 0.0]
    assert scores["Error/g1"] == pytest.approx(2.5, abs=0.05)
    assert (scores["Error/g2"], scores["Error/g3"]) == (4.0, 4.0)
