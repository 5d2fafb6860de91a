"""The peaks of heat maps, as positions in the image to a fraction of a pixel."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_EPSILON = 1e-6
_ROUNDS = 10
"""Each halves, at least, the distance that is left."""


class Peaks(NamedTuple):
    """The highest peak of every map."""

    positions: Tensor
    """x and y [N, glints, 2] in pixels of the image; the centre of its first pixel is (0, 0)."""
    confidence: Tensor
    """Height of the smoothed peak [N, glints]."""
    found: Tensor
    """Whether it is high enough to count [N, glints], bool."""


def find_peaks(maps: Tensor, *, stride: int, threshold: float) -> Peaks:
    """Finds the highest peak of each map, to a fraction of a pixel.

    The maps are smoothed by a 3 x 3 Gaussian, and the highest pixel is taken (it is the highest of the local maxima,
    whatever their window). The peak is where a Gaussian through it and its neighbours has its top; then, away from
    the borders, the centroid of what surrounds it, found again around itself until it rests. A focal loss makes flat
    plateaus rather than Gaussians: their highest pixel says little, their centroid all.

    Args:
        maps: Probabilities [N, glints, h, w].
        stride: Pixels of the image for one of a map.
        threshold: Smoothed height that a peak must exceed to count.
    """
    tall, wide = _smoothed(maps, dim=2), _smoothed(maps, dim=3)
    smooth = _smoothed(tall, dim=3)
    confidence, place = smooth.flatten(2).max(dim=2)
    row, column = place // maps.shape[3], place % maps.shape[3]
    x = _top(_line(smooth, row, dim=2), _line(tall, row, dim=2), column)
    y = _top(_line(smooth, column, dim=3), _line(wide, column, dim=3), row)
    # A pixel of a map stands for `stride` pixels of the image: its centre is the middle of theirs.
    positions = (_centroid(maps, torch.stack([x, y], dim=-1)) + 0.5) * stride - 0.5
    return Peaks(positions, confidence, confidence > threshold)


def _centroid(maps: Tensor, tops: Tensor) -> Tensor:
    """Moves each top [N, glints, 2] to the centroid under a Gaussian window that is centred on that centroid itself.

    Because the window moves along, the centroid of a symmetric peak is its centre, wherever that lies in a pixel. The
    window is as wide as the peak: its radius is that of a disc of as many pixels as are above half of its height.
    Nearer to a border than two such radii a part of the peak may be missing, and the top stays along that side.
    """
    height = maps.amax(dim=(2, 3), keepdim=True)
    radius = ((maps > height / 2).sum(dim=(2, 3)) / math.pi).sqrt().clamp_min(1.0)[..., None]
    ends = torch.tensor([maps.shape[3] - 1, maps.shape[2] - 1], device=maps.device)
    places = tops
    for _ in range(_ROUNDS):
        across, down = (_window(maps.shape[3 - axis], places[..., axis, None], radius) for axis in (0, 1))
        mass = torch.einsum("ngh,nghw,ngw->ng", down[0], maps, across[0]).clamp_min(_EPSILON**2)
        moment_x = torch.einsum("ngh,nghw,ngw->ng", down[0], maps, across[1])
        moment_y = torch.einsum("ngh,nghw,ngw->ng", down[1], maps, across[0])
        places = places + torch.stack([moment_x / mass, moment_y / mass], dim=-1)
    is_whole = (tops >= 2 * radius) & (tops <= ends - 2 * radius)
    return torch.where(is_whole, places, tops)


def _window(length: int, centre: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Gives a Gaussian window along one side, and the same times the distance from its centre."""
    distance = torch.arange(length, device=centre.device) - centre
    weight = torch.exp(-0.5 * (distance / radius) ** 2)
    return weight, weight * distance


def _smoothed(maps: Tensor, *, dim: int) -> Tensor:
    length = maps.shape[dim]
    padded = torch.cat([maps.narrow(dim, 0, 1), maps, maps.narrow(dim, length - 1, 1)], dim)
    return 0.25 * padded.narrow(dim, 0, length) + 0.5 * maps + 0.25 * padded.narrow(dim, 2, length)


def _line(maps: Tensor, number: Tensor, *, dim: int) -> Tensor:
    """Gives one row (dim 2) or column (dim 3) of each map."""
    return maps.movedim(dim, 2).gather(2, number[..., None, None].expand(-1, -1, 1, maps.shape[5 - dim])).squeeze(2)


def _top(smooth: Tensor, plain: Tensor, highest: Tensor) -> Tensor:
    """Gives where a Gaussian through three neighbours of a line has its top, at most a pixel from the highest one.

    The logarithm of a Gaussian is a parabola, whose top may lie outside of its three points: at a border the three
    nearest pixels serve. There they are taken from the line that was not smoothed along itself, for smoothing knows
    nothing beyond the border.
    """
    middle = highest.clamp(1, smooth.shape[-1] - 2)
    at_border = (middle == 1) | (middle == smooth.shape[-1] - 2)
    logs = torch.log(torch.where(at_border[..., None], plain, smooth) + _EPSILON)
    before, here, after = (logs.gather(-1, (middle + shift)[..., None]).squeeze(-1) for shift in (-1, 0, 1))
    bend = before - 2 * here + after
    shift = torch.where(bend < 0, 0.5 * (before - after) / bend.clamp_max(-_EPSILON), 0.0)
    return torch.minimum(torch.maximum(middle + shift, highest - 1.0), highest + 1.0)
