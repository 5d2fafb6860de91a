"""The losses: how far the logits are from soft targets in [0, 1], pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.engine.system import Loss, LossFunction
from holdfast.systems.glint.config import Bce, Focal, GlintConfig

PixelLoss = Callable[[Tensor, Tensor], Tensor]

_EPSILON = 1e-6


def focal(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Gives the focal loss of each pixel: `-alpha * (1 - p)**gamma * log(p + 1e-6)`.

    `p` is the probability given to the target, `s*t + (1 - s)*(1 - t)` with `s = sigmoid(logits)`. Both it and its
    complement are sums of positive terms, so neither loses its digits where the network is sure.
    """
    yes, no = torch.sigmoid(logits), torch.sigmoid(-logits)
    right = yes * targets + no * (1 - targets)
    wrong = yes * (1 - targets) + no * targets
    # A power below 1 has an infinite slope at 0.
    return -alpha * wrong.clamp_min(1e-12) ** gamma * torch.log(right + _EPSILON)


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Gives the binary cross-entropy of each pixel."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def pixel_loss(chosen: Focal | Bce) -> PixelLoss:
    """Gives the loss that the configuration names."""
    match chosen:
        case Focal(alpha=alpha, gamma=gamma):
            return partial(focal, alpha=alpha, gamma=gamma)
        case Bce():
            return bce


def build_loss(config: GlintConfig) -> LossFunction:
    """Builds the loss of a batch: the sum over its samples of the mean over each sample's pixels."""
    per_pixel = pixel_loss(config.loss)

    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Loss:
        logits = model(batch["image"]).float()
        per_sample = per_pixel(logits, batch["heatmap"]).mean(dim=(1, 2, 3))
        return Loss(per_sample.sum(), weight=len(per_sample), outputs=logits.detach())

    return loss
