"""The losses: how far the maps are from soft targets in [0, 1], image by image.

Every function here gives one value for each image [N], so that a batch is the sum of its images, however it is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.engine.system import Loss, LossFunction
from holdfast.systems.glint.config import Bce, Dice, Focal, GlintConfig, Hybrid

MapLoss = Callable[[Tensor, Tensor], Tensor]
"""`loss(logits, targets)`, both [N, maps, h, w]."""

_EPSILON = 1e-6


def focal(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Gives the focal loss: the mean over all pixels of `-alpha * (1 - p)**gamma * log(p + 1e-6)`.

    `p` is the probability given to the target, `s*t + (1 - s)*(1 - t)` with `s = sigmoid(logits)`. Both it and its
    complement are sums of positive terms, so neither loses its digits where the network is sure.
    """
    yes, no = torch.sigmoid(logits), torch.sigmoid(-logits)
    right = yes * targets + no * (1 - targets)
    wrong = yes * (1 - targets) + no * targets
    # A power below 1 has an infinite slope at 0.
    each = -alpha * wrong.clamp_min(1e-12) ** gamma * torch.log(right + _EPSILON)
    return each.mean(dim=(1, 2, 3))


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Gives the binary cross-entropy, the mean over all pixels."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=(1, 2, 3))


def dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Gives `1 - 2 * sum(s * t) / (sum(s) + sum(t) + 1e-6)`, the mean over the maps."""
    maps = torch.sigmoid(logits)
    common, all_of_it = (maps * targets).sum(dim=(2, 3)), (maps + targets).sum(dim=(2, 3))
    return (1 - 2 * common / (all_of_it + _EPSILON)).mean(dim=1)


def likeness(logits: Tensor, *, mode: str) -> Tensor:
    """Gives how alike the maps of an image are, the mean over all pairs: 0 for maps that have nothing in common.

    Maps in which nothing stands out are like no other. Otherwise all would be alike at the start, when all are flat,
    and the quickest way to be less so would be to sink where the others rise, before any has found its own glint.

    Args:
        logits: Of the maps.
        mode: `overlap` is the mean product of two maps; `cosine` the cosine of the angle between them, each counted
            from its own mean; `kl` is `exp(-d)` with `d` the mean of both Kullback-Leibler divergences, each map
            being a distribution. In the last two, a map that stands out by less than one sure pixel counts less.
    """
    maps = torch.sigmoid(logits).flatten(2)
    raised = maps - maps.mean(dim=2, keepdim=True)
    height = raised.norm(dim=2, keepdim=True)
    match mode:
        case "overlap":
            pairs = maps @ maps.mT / maps.shape[2]
        case "cosine":
            unit = raised / height.clamp_min(1)
            pairs = (unit @ unit.mT).clamp_min(0)
        case _:
            share = maps / maps.sum(dim=2, keepdim=True)
            crossed = share @ torch.log(share + _EPSILON).mT
            own = crossed.diagonal(dim1=1, dim2=2)
            apart = 0.5 * (own[:, :, None] + own[:, None, :] - crossed - crossed.mT)
            there = height.clamp_max(1)
            pairs = torch.exp(-apart) * there * there.mT
    first, second = torch.triu_indices(maps.shape[1], maps.shape[1], offset=1, device=maps.device)
    # A single map is like no other.
    return pairs[:, first, second].sum(dim=1) / max(1, len(first))


def aggregated(logits: Tensor, targets: Tensor, *, mode: str) -> tuple[Tensor, Tensor]:
    """Gives the logits and the targets of one map of all glints: the largest value, or the sum of all up to 1."""
    if mode == "max":
        return logits.amax(dim=1, keepdim=True), targets.amax(dim=1, keepdim=True)
    # Probabilities add up, logits do not. Below 1, for its logit is infinite.
    together = torch.sigmoid(logits).sum(dim=1, keepdim=True).clamp_max(1 - _EPSILON)
    return torch.logit(together), targets.sum(dim=1, keepdim=True).clamp_max(1)


def hybrid(logits: Tensor, targets: Tensor, weights: Hybrid) -> dict[str, tuple[float, Tensor]]:
    """Gives the parts of the hybrid loss that weigh something, each with its weight."""
    focal_here = partial(focal, alpha=weights.alpha, gamma=weights.gamma)
    parts: dict[str, tuple[float, Callable[[], Tensor]]] = {
        "Focal": (weights.lam_focal, lambda: focal_here(logits, targets)),
        "Bce": (weights.lam_bce, lambda: bce(logits, targets)),
        "Dice": (weights.lam_dice, lambda: dice(logits, targets)),
        "Divergence": (weights.div_weight, lambda: likeness(logits, mode=weights.div_mode)),
        "Aggregate": (weights.lam_agg, lambda: _of_aggregate(logits, targets, weights, focal_here)),
    }
    return {name: (weight, part()) for name, (weight, part) in parts.items() if weight}


def _of_aggregate(logits: Tensor, targets: Tensor, weights: Hybrid, focal_here: MapLoss) -> Tensor:
    pair = aggregated(logits, targets, mode=weights.agg_mode)
    losses = [(weights.agg_focal, focal_here), (weights.agg_bce, bce), (weights.agg_dice, dice)]
    return sum((weight * loss(*pair) for weight, loss in losses if weight), logits.new_zeros(len(logits)))


def parts_of(chosen: Focal | Bce | Dice | Hybrid, logits: Tensor, targets: Tensor) -> dict[str, tuple[float, Tensor]]:
    """Gives the loss that the configuration names, part by part: the weight of each, and its value for each image."""
    match chosen:
        case Focal(alpha=alpha, gamma=gamma):
            return {"Focal": (1.0, focal(logits, targets, alpha=alpha, gamma=gamma))}
        case Bce():
            return {"Bce": (1.0, bce(logits, targets))}
        case Dice():
            return {"Dice": (1.0, dice(logits, targets))}
        case Hybrid():
            return hybrid(logits, targets, chosen)


def build_loss(config: GlintConfig) -> LossFunction:
    """Builds the loss of a batch: the sum over its images; its parts as they are before they are weighted."""

    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Loss:
        logits = model(batch["image"]).float()
        parts = parts_of(config.loss, logits, batch["heatmap"])
        total = sum((weight * part for weight, part in parts.values()), logits.new_zeros(len(logits))).sum()
        # A loss of one part is that part.
        named = {name: part.detach().mean() for name, (_, part) in parts.items()} if len(parts) > 1 else {}
        return Loss(total, weight=len(logits), parts=named, outputs=logits.detach())

    return loss
