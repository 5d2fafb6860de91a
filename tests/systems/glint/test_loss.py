import pytest
import torch
from torch import nn

from holdfast.systems.glint.loss import bce, build_loss, focal

from .eyes import config_for


def random_maps() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(3, 8, 4, 4, generator=draw) * 3, torch.rand(3, 8, 4, 4, generator=draw)


@pytest.mark.parametrize("alpha, gamma", [(1.0, 2.0), (0.25, 0.0), (1.0, 0.5)])
def test_focal_is_the_plain_formula(alpha: float, gamma: float):
    logits, targets = random_maps()
    s = 1 / (1 + torch.exp(-logits.double()))
    p = s * targets + (1 - s) * (1 - targets)
    expected = -alpha * (1 - p) ** gamma * torch.log(p + 1e-6)
    assert torch.allclose(focal(logits, targets, alpha=alpha, gamma=gamma).double(), expected, rtol=1e-4, atol=1e-7)


def test_bce_is_the_plain_formula():
    logits, targets = random_maps()
    s = 1 / (1 + torch.exp(-logits.double()))
    expected = -(targets * torch.log(s) + (1 - targets) * torch.log(1 - s))
    assert torch.allclose(bce(logits, targets).double(), expected, rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_and_its_gradient_stay_finite_however_sure_the_network_is(gamma: float):
    logits = torch.tensor([-200.0, -200.0, 200.0, 200.0], requires_grad=True)
    value = focal(logits, torch.tensor([0.0, 1.0, 0.0, 1.0]), alpha=1.0, gamma=gamma)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["focal", "bce"])
def test_the_loss_of_a_batch_is_the_sum_of_the_losses_of_its_samples(name: str):
    logits, targets = random_maps()
    loss = build_loss(config_for(loss={"name": name}))
    whole = loss(nn.Identity(), {"image": logits, "heatmap": targets})
    single = [loss(nn.Identity(), {"image": logits[i : i + 1], "heatmap": targets[i : i + 1]}) for i in range(3)]
    assert whole.weight == 3
    assert float(whole.total) == pytest.approx(sum(float(part.total) for part in single))
    assert torch.equal(whole.outputs, logits)
