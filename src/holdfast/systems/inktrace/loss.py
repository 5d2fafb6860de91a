"""The losses: how far a prediction is from the fields, picture by picture.

Every function here gives one value for each picture [N], averaged over what that picture shows, so that a batch is the
sum of its pictures, however it is cut, and no picture is measured on the strokes of another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from holdfast.engine.system import Loss, LossFunction
from holdfast.systems.inktrace.config import InkTraceConfig
from holdfast.systems.inktrace.model import Prediction

_SIGMA = 1.5
"""Of the Gaussian around a key point, in pixels."""
_REACH = 4

Parts = dict[str, tuple[float, Tensor]]
"""The weight of each part, and its value for each picture."""


def bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Gives the binary cross-entropy, the mean over all pixels."""
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3))


def dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Gives `1 - (2 * sum(p * t) + 1) / (sum(p) + sum(t) + 1)`."""
    chances = torch.sigmoid(logits)
    common, everything = (chances * truth).sum((1, 2, 3)), (chances + truth).sum((1, 2, 3))
    return 1 - (2 * common + 1) / (everything + 1)


def on_skeleton(errors: Tensor, skeleton: Tensor) -> Tensor:
    """Gives the mean of errors [N, channels, S, S] over channels and over the pixels of the skeleton [N, 1, S, S]."""
    pixels = skeleton.sum((1, 2, 3)).clamp_min(1) * errors.shape[1]
    return (errors * skeleton).sum((1, 2, 3)) / pixels


def keypoint_heat(keypoints: Tensor) -> Tensor:
    """Gives maps that are 1 at each key point, and around it what a Gaussian says; the nearest point counts."""
    # The largest of products of a row's and a column's share is the product of the largest.
    return _spread(_spread(keypoints, dim=2), dim=3)


def gaussian_focal(logits: Tensor, heat: Tensor) -> Tensor:
    """Gives the focal loss of CenterNet (alpha 2, beta 4), divided by the number of key points.

    The chance of a key point is to be 1 where the heat is 1. Elsewhere it is to be 0, the less strictly the hotter.
    """
    here = heat == 1
    sure, unsure = F.logsigmoid(logits), F.logsigmoid(-logits)
    chance = torch.sigmoid(logits)
    missed = (1 - chance) ** 2 * sure
    invented = (1 - heat) ** 4 * chance**2 * unsure
    return -torch.where(here, missed, invented).sum((1, 2, 3)) / here.sum((1, 2, 3)).clamp_min(1)


def parts_of(config: InkTraceConfig, said: Prediction, truth: Mapping[str, Tensor]) -> Parts:
    """Gives the loss part by part, for those fields that there is a head for."""
    skeleton = truth["skeleton"]
    weights = config.loss.dense if config.model.full_heads else config.loss.structural
    parts = {
        "Bce": (weights.skeleton, bce(said.skeleton.float(), skeleton)),
        "Dice": (weights.skeleton, dice(said.skeleton.float(), skeleton)),
        "Tangent": (weights.tangent, on_skeleton((said.tangent.float() - truth["tangent"]) ** 2, skeleton)),
    }
    if said.keypoints is None or said.width is None or said.offset is None:
        return parts
    dense = config.loss.dense
    focal = gaussian_focal(said.keypoints.float(), keypoint_heat(truth["keypoints"]))
    width, offset = ((getattr(said, name).float() - truth[name]).abs() for name in ("width", "offset"))
    return parts | {
        "Keypoints": (dense.keypoints, focal),
        "Width": (dense.width, on_skeleton(width, skeleton)),
        "Offset": (dense.offset, on_skeleton(offset, skeleton)),
    }


def build_loss(config: InkTraceConfig) -> LossFunction:
    """Builds the loss of a batch: the sum over its pictures; its parts as they are before they are weighted."""

    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Loss:
        said: Prediction = model(batch["image"])
        parts = parts_of(config, said, batch)
        count = len(said.skeleton)
        total = sum((weight * part for weight, part in parts.values()), said.skeleton.new_zeros(count)).sum()
        named = {name: part.detach().mean() for name, (_, part) in parts.items()}
        outputs = Prediction(*(None if field is None else field.detach() for field in said))  # pyright: ignore[reportArgumentType]
        return Loss(total, weight=count, parts=named, outputs=outputs)

    return loss


def _spread(maps: Tensor, *, dim: int) -> Tensor:
    """Gives, along one side, the largest of what every pixel sends to those up to the reach away."""
    length = maps.shape[dim]
    pad = [0, 0, _REACH, _REACH] if dim == 2 else [_REACH, _REACH, 0, 0]
    padded = F.pad(maps, pad)
    shares = [math.exp(-(shift**2) / (2 * _SIGMA**2)) for shift in range(-_REACH, _REACH + 1)]
    sent = (share * padded.narrow(dim, place, length) for place, share in enumerate(shares))
    largest = maps
    for part in sent:
        largest = torch.maximum(largest, part)
    return largest
