import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast.systems.glint.config import Hybrid
from holdfast.systems.glint.loss import aggregated, bce, build_loss, dice, focal, likeness

from .eyes import config_for

NAMES = ["focal", "bce", "dice", "hybrid"]


def random_maps() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(3, 8, 4, 4, generator=draw) * 3, torch.rand(3, 8, 4, 4, generator=draw)


def close(value: Tensor, expected: Any) -> bool:
    return torch.allclose(value.double(), torch.as_tensor(expected).double(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("alpha, gamma", [(1.0, 2.0), (0.25, 0.0), (1.0, 0.5)])
def test_focal_is_the_plain_formula(alpha: float, gamma: float):
    logits, targets = random_maps()
    s = 1 / (1 + torch.exp(-logits.double()))
    p = s * targets + (1 - s) * (1 - targets)
    expected = -alpha * (1 - p) ** gamma * torch.log(p + 1e-6)
    assert close(focal(logits, targets, alpha=alpha, gamma=gamma), expected.mean(dim=(1, 2, 3)))


def test_bce_is_the_plain_formula():
    logits, targets = random_maps()
    s = 1 / (1 + torch.exp(-logits.double()))
    expected = -(targets * torch.log(s) + (1 - targets) * torch.log(1 - s))
    assert close(bce(logits, targets), expected.mean(dim=(1, 2, 3)))


def test_dice_is_the_plain_formula():
    logits, targets = random_maps()
    expected = []
    for image, target in zip(torch.sigmoid(logits), targets, strict=True):
        overlaps = [
            2 * float((s * t).sum()) / (float(s.sum() + t.sum()) + 1e-6) for s, t in zip(image, target, strict=True)
        ]
        expected.append(1 - sum(overlaps) / 8)
    assert close(dice(logits, targets), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_and_its_gradient_stay_finite_however_sure_the_network_is(gamma: float):
    logits = torch.tensor([-200.0, -200.0, 200.0, 200.0], requires_grad=True)
    value = focal(logits.view(4, 1, 1, 1), torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1, 1), alpha=1.0, gamma=gamma)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def of_pairs(logits: Tensor, mode: str) -> list[float]:
    """The likeness of every two maps as the textbook has it."""
    means = []
    for image in torch.sigmoid(logits).double().flatten(2):
        values = []
        for one, other in combinations(image, 2):
            p, q = one / one.sum(), other / other.sum()
            apart = float((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2
            values.append(
                {
                    "overlap": float((one * other).mean()),
                    "cosine": max(0.0, float(torch.corrcoef(torch.stack([one, other]))[0, 1])),
                    "kl": math.exp(-apart),
                }[mode]
            )
        means.append(sum(values) / len(values))
    return means


@pytest.mark.parametrize("mode", ["overlap", "cosine", "kl"])
def test_likeness_is_the_textbook_one_for_maps_that_show_something(mode: str):
    logits, _ = random_maps()
    assert torch.allclose(
        likeness(logits, mode=mode).double(), torch.tensor(of_pairs(logits, mode)).double(), rtol=2e-3
    )


@pytest.mark.parametrize("mode", ["overlap", "cosine", "kl"])
def test_equal_maps_are_more_alike_than_maps_apart_and_flat_ones_not_at_all(mode: str):
    left, right = torch.full((1, 1, 8, 8), -9.0), torch.full((1, 1, 8, 8), -9.0)
    left[..., :3, :3], right[..., 5:, 5:] = 9, 9
    same, apart = (likeness(torch.cat([left, other], dim=1), mode=mode) for other in (left, right))
    assert float(same) > 10 * float(apart)
    flat = torch.full((1, 2, 8, 8), -4.0)
    assert float(likeness(flat, mode=mode)) < 1e-3


def test_a_single_map_is_like_no_other():
    assert likeness(torch.zeros(2, 1, 4, 4), mode="cosine").tolist() == [0.0, 0.0]


def test_the_aggregate_is_the_largest_value_or_the_sum_up_to_one():
    logits, targets = random_maps()
    maps = torch.sigmoid(logits)
    for mode, expected in (("max", maps.amax(1, keepdim=True)), ("sum", maps.sum(1, keepdim=True).clamp_max(1))):
        together, aim = aggregated(logits, targets, mode=mode)
        assert torch.allclose(torch.sigmoid(together), expected, atol=2e-6)
        assert together.shape == aim.shape == (3, 1, 4, 4)
        assert float(aim.min()) >= 0 and float(aim.max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_batch_is_the_sum_of_the_losses_of_its_samples(name: str):
    logits, targets = random_maps()
    loss = build_loss(config_for(loss={"name": name}))
    whole = loss(nn.Identity(), {"image": logits, "heatmap": targets})
    single = [loss(nn.Identity(), {"image": logits[i : i + 1], "heatmap": targets[i : i + 1]}) for i in range(3)]
    assert whole.weight == 3
    assert float(whole.total) == pytest.approx(sum(float(part.total) for part in single), rel=1e-5)
    for part in whole.parts:
        assert float(whole.parts[part]) == pytest.approx(sum(float(one.parts[part]) for one in single) / 3, rel=1e-5)
    assert torch.equal(whole.outputs, logits)


WEIGHTS = {
    "lam_focal": 1.0, "lam_bce": 0.5, "lam_dice": 0.25, "div_weight": 0.125, "lam_agg": 2.0,
    "agg_focal": 1.0, "agg_bce": 0.5, "agg_dice": 0.25,
}  # fmt: skip


@pytest.mark.parametrize("agg_mode", ["max", "sum"])
@pytest.mark.parametrize("div_mode", ["overlap", "cosine", "kl"])
def test_hybrid_is_the_weighted_sum_of_its_parts_and_tells_each(agg_mode: str, div_mode: str):
    logits, targets = random_maps()
    chosen = {"name": "hybrid", **WEIGHTS, "agg_mode": agg_mode, "div_mode": div_mode}
    result = build_loss(config_for(loss=chosen))(nn.Identity(), {"image": logits, "heatmap": targets})
    pair = aggregated(logits, targets, mode=agg_mode)
    of_maps = [float(each.mean()) for each in (focal(logits, targets, alpha=1, gamma=2), bce(logits, targets))]
    together = focal(*pair, alpha=1, gamma=2) + 0.5 * bce(*pair) + 0.25 * dice(*pair)
    expected = {
        "Focal": of_maps[0],
        "Bce": of_maps[1],
        "Dice": float(dice(logits, targets).mean()),
        "Divergence": float(likeness(logits, mode=div_mode).mean()),
        "Aggregate": float(together.mean()),
    }
    assert {name: float(value) for name, value in result.parts.items()} == pytest.approx(expected, rel=1e-5)
    weights = (1.0, 0.5, 0.25, 0.125, 2.0)
    total = sum(weight * part for weight, part in zip(weights, expected.values(), strict=True))
    assert float(result.total) / result.weight == pytest.approx(total, rel=1e-5)


def test_what_weighs_nothing_is_no_part():
    logits, targets = random_maps()
    batch = {"image": logits, "heatmap": targets}
    assert list(build_loss(config_for(loss={"name": "hybrid"}))(nn.Identity(), batch).parts) == [
        "Focal", "Divergence", "Aggregate",
    ]  # fmt: skip
    published = {"name": "hybrid", "lam_bce": 0.1, "div_weight": 0.0, "lam_agg": 0.0}
    assert list(build_loss(config_for(loss=published))(nn.Identity(), batch).parts) == ["Focal", "Bce"]
    assert build_loss(config_for(loss={"name": "dice"}))(nn.Identity(), batch).parts == {}


@pytest.mark.parametrize("agg_mode", ["max", "sum"])
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_is_finite_where_the_network_is_sure_and_wrong(name: str, agg_mode: str):
    logits = torch.tensor([60.0, -60.0, 0.0, 8.0]).expand(1, 8, 4, 4).clone()
    logits[:, 3:5] = -4  # flat maps stand out by nothing
    logits.requires_grad_()
    chosen = {"name": name} if name != "hybrid" else {"name": name, **WEIGHTS, "agg_mode": agg_mode, "div_mode": "kl"}
    result = build_loss(config_for(loss=chosen))(nn.Identity(), {"image": logits, "heatmap": torch.zeros(1, 8, 4, 4)})
    result.total.backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_hybrid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="must be above 0, but all are 0"):
        Hybrid(lam_focal=0, lam_agg=0)
