"""What is hidden from the network: parts of a picture that it is to complete."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from holdfast.systems.inktrace.config import PATCH

Kind = Literal["block", "pixel", "stroke"]
Mask = NDArray[np.bool_]

_STRETCH = 3
"""Pixels of a stroke that are hidden to each side of one that was drawn, at least."""


def draw_mask(kind: Kind, ratio: float, skeleton: NDArray[np.floating], key: int) -> Mask:
    """Gives which pixels are hidden, of a picture with this skeleton [S, S]; a function of the key.

    Args:
        kind: `block` hides blocks of 8 x 8 pixels, `pixel` single pixels, `stroke` stretches of the strokes.
        ratio: The share of the blocks, of the pixels, or (at least) of the skeleton's pixels that is hidden.
        skeleton: Where the strokes are.
        key: What is drawn from.
    """
    size = len(skeleton)
    match kind:
        case "block":
            return _chosen((size // PATCH, size // PATCH), ratio, key).repeat(PATCH, 0).repeat(PATCH, 1)
        case "pixel":
            return _chosen((size, size), ratio, key)
        case "stroke":
            return _stretches(skeleton > 0, ratio, key)


def _chosen(shape: tuple[int, int], ratio: float, key: int) -> Mask:
    """Chooses a share of places, without choosing one twice."""
    count = shape[0] * shape[1]
    order = np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")
    mask = np.zeros(count, np.bool_)
    mask[order[: round(ratio * count)]] = True
    return mask.reshape(shape)


def _stretches(skeleton: Mask, ratio: float, key: int) -> Mask:
    """Hides what is around drawn pixels of the skeleton, one after another, until enough of the skeleton is hidden.

    Each pixel of the skeleton has its turn in a random order; at its turn the square around it is hidden. So a pixel
    is hidden at the first turn of those around it, and the moment to stop is a matter of counting.
    """
    count = int(skeleton.sum())
    turns = np.full(skeleton.shape, np.inf)
    turns[skeleton] = np.argsort(np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable"))
    side = 2 * _STRETCH + 1
    first = -F.max_pool2d(-torch.from_numpy(turns)[None, None], side, stride=1, padding=_STRETCH)[0, 0].numpy()
    if count == 0:
        return np.zeros_like(skeleton)
    return first <= np.sort(first[skeleton])[math.ceil(ratio * count) - 1]
