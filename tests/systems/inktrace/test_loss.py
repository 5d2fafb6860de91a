import math

import pytest
import torch
from torch.utils.data import default_collate

from holdfast.systems.inktrace.config import InkTraceConfig
from holdfast.systems.inktrace.data import build_data
from holdfast.systems.inktrace.loss import bce, build_loss, dice, gaussian_focal, keypoint_heat, on_skeleton, parts_of
from holdfast.systems.inktrace.model import Prediction, build_model

from .drawings import Knows, config_for, logits, marks


def batch_of(config: InkTraceConfig, count: int = 3) -> dict[str, torch.Tensor]:
    train = build_data(config).train
    return default_collate([train[index] for index in range(count)])


def test_dice_is_smoothed_by_one():
    truth = marks(4, (0, 0), (0, 1))
    nothing, everything = torch.full((1, 1, 4, 4), -50.0), torch.full((1, 1, 4, 4), 50.0)
    assert dice(nothing, truth).tolist() == pytest.approx([1 - 1 / 3])
    assert dice(everything, truth).tolist() == pytest.approx([1 - 5 / 19])
    assert dice(nothing, 0 * truth).tolist() == pytest.approx([0.0])


def test_bce_is_the_mean_over_all_pixels():
    assert bce(torch.zeros(2, 1, 4, 4), marks(4, (0, 0)).repeat(2, 1, 1, 1)).tolist() == pytest.approx(
        [math.log(2)] * 2
    )


def test_errors_are_averaged_over_the_skeleton_and_the_channels():
    errors = torch.ones(1, 2, 4, 4)
    errors[0, :, 0, 0] = torch.tensor([3.0, 5.0])
    assert on_skeleton(errors, marks(4, (0, 0), (2, 2))).tolist() == [(3 + 5 + 1 + 1) / 4]
    assert on_skeleton(errors, marks(4)).tolist() == [0.0]


def test_heat_is_one_at_a_key_point_and_a_gaussian_around_it():
    heat = keypoint_heat(marks(16, (8, 8), (8, 11)))[0, 0]
    assert heat[8, 8] == heat[8, 11] == 1
    for (row, column), nearest in {(6, 8): 4, (7, 7): 2, (8, 9): 1, (9, 10): 2, (8, 14): 9}.items():
        assert heat[row, column].item() == pytest.approx(math.exp(-nearest / 4.5))
    assert (heat == 1).sum() == 2
    assert heat[0, 0] == 0


def test_the_focal_loss_is_that_of_centernet_divided_by_the_number_of_key_points():
    chances = torch.full((1, 1, 16, 16), 0.1)
    chances[0, 0, 8, 8] = 0.7
    heat = keypoint_heat(marks(16, (8, 8), (2, 2)))
    expected = -(0.3**2 * math.log(0.7) + 0.9**2 * math.log(0.1))
    elsewhere = heat[heat < 1]
    expected -= float(((1 - elsewhere) ** 4).sum()) * 0.1**2 * math.log(0.9)
    assert gaussian_focal(torch.logit(chances), heat).tolist() == pytest.approx([expected / 2], rel=1e-5)


def test_the_focal_loss_of_a_picture_without_key_points_is_what_was_invented():
    chances = torch.full((1, 2, 4, 4), 0.1)
    expected = -32 * 0.1**2 * math.log(0.9)
    assert gaussian_focal(torch.logit(chances), torch.zeros(1, 2, 4, 4)).tolist() == pytest.approx([expected], rel=1e-5)


@pytest.mark.parametrize("full", [False, True])
def test_a_batch_is_the_sum_of_its_pictures_none_measured_on_the_strokes_of_another(full: bool):
    """Red for masks that spread over the batch: then the skeleton of one picture decides about another."""
    config = config_for(model={"full_heads": full})
    batch = batch_of(config)
    model = build_model(config).eval()
    loss = build_loss(config)
    together = loss(model, batch)
    alone = [loss(model, {name: field[k : k + 1] for name, field in batch.items()}) for k in range(3)]
    assert together.weight == 3
    assert together.total.item() == pytest.approx(sum(each.total.item() for each in alone), rel=1e-5)

    said, skeleton = model(batch["image"]), batch["skeleton"]
    errors = (said.tangent - batch["tangent"]) ** 2
    spread = (errors[:, None] * skeleton[None, :]).sum((0, 1, 2, 3, 4)) / (2 * skeleton.sum())
    right = parts_of(config, said, batch)["Tangent"][1].mean()
    assert not torch.isclose(spread.mean(), right, rtol=1e-2), "the flaw would be seen"


def test_the_loss_is_the_weighted_sum_of_its_parts():
    weights = {"skeleton": 10.0, "keypoints": 5.0, "tangent": 1.0, "width": 1.0, "offset": 1.0}
    config = config_for(loss={"dense": weights})
    loss = build_loss(config)(build_model(config).eval(), batch_of(config))
    named = {"Bce": 10, "Dice": 10, "Keypoints": 5, "Tangent": 1, "Width": 1, "Offset": 1}
    assert set(loss.parts) == set(named)
    total = sum(weight * float(loss.parts[name]) for name, weight in named.items())
    assert loss.total.item() / loss.weight == pytest.approx(total, rel=1e-5)


def test_the_structural_loss_has_skeleton_and_tangent_with_weight_one():
    config = config_for(model={"full_heads": False})
    loss = build_loss(config)(build_model(config).eval(), batch_of(config))
    assert set(loss.parts) == {"Bce", "Dice", "Tangent"}
    assert loss.total.item() / 3 == pytest.approx(sum(float(part) for part in loss.parts.values()), rel=1e-5)


def test_the_loss_is_over_the_whole_picture_not_over_what_is_hidden():
    config = config_for(model={"full_heads": False})
    truth = {"skeleton": marks(8, (1, 1)), "tangent": torch.zeros(1, 2, 8, 8)}
    wrong = torch.full((1, 1, 8, 8), -9.0)
    wrong[0, 0, 6, 6] = 9.0
    right = torch.full((1, 1, 8, 8), -9.0)
    said = [Prediction(skeleton=each, tangent=torch.zeros(1, 2, 8, 8)) for each in (wrong, right)]
    losses = [sum(float(part) for _, part in parts_of(config, each, truth).values()) for each in said]
    assert losses[0] > losses[1] + 0.1


def test_who_knows_the_truth_loses_next_to_nothing():
    config = config_for()
    batch = batch_of(config)
    loss = build_loss(config)(Knows(batch), batch)
    assert loss.total.item() / loss.weight < 0.1
    assert max(float(loss.parts[name]) for name in ("Tangent", "Width", "Offset")) == 0
    assert logits(torch.tensor([0.5])).item() == 0
