"""Where key points are: the pixels of a map that are higher than their neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def peaks(chances: Tensor, threshold: float) -> Tensor:
    """Gives, as booleans of the same shape, the pixels that are at least the threshold and all eight around them."""
    highest = F.max_pool2d(chances, 3, stride=1, padding=1)
    return (chances >= threshold) & (chances == highest)


def within(marks: Tensor, distance: int) -> Tensor:
    """Gives the pixels of a map [N, channels, S, S] that are at most so many pixels from a marked one."""
    reach = range(-distance, distance + 1)
    disc = [[float(x * x + y * y <= distance * distance) for x in reach] for y in reach]
    kernel = torch.tensor(disc, device=marks.device).expand(marks.shape[1], 1, -1, -1)
    return F.conv2d(marks.float(), kernel, padding=distance, groups=marks.shape[1]) > 0
