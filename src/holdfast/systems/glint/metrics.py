"""Peaks of heat maps as positions in the image, and how well they agree with the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from holdfast.systems.glint.config import GlintConfig

_EPSILON = 1e-6


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

    The maps are smoothed by a 3 x 3 Gaussian, the highest pixel is taken (it is the highest of the local maxima,
    whatever their window), and the peak is where a Gaussian through it and its neighbours has its top. Unlike a
    centroid of the neighbours, this is not drawn to the middle of a pixel.

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
    positions = (torch.stack([x, y], dim=-1) + 0.5) * stride - 0.5
    return Peaks(positions, confidence, confidence > threshold)


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


class GlintMetrics:
    """Precision, recall, F1 and localisation error over all glints; a glint is right within the tolerance."""

    def __init__(self, *, stride: int, threshold: float, tolerance: float) -> None:
        self._stride = stride
        self._threshold = threshold
        self._tolerance = tolerance
        self._hits = 0
        self._claimed = 0
        self._existing = 0
        self._distance = 0.0

    def update(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Counts one batch; `outputs` are logits. A glint in a wrong place is a false alarm and a miss."""
        claimed = find_peaks(torch.sigmoid(outputs), stride=self._stride, threshold=self._threshold)
        truth = find_peaks(batch["heatmap"], stride=self._stride, threshold=0.0)
        exists = truth.found & batch["present"]
        distance = (claimed.positions - truth.positions).norm(dim=-1)
        hit = claimed.found & exists & (distance <= self._tolerance)
        self._hits += int(hit.sum())
        self._claimed += int(claimed.found.sum())
        self._existing += int(exists.sum())
        self._distance += float(distance[hit].sum())

    def result(self) -> dict[str, float]:
        """Gives F1, Precision and Recall (0 where nothing was counted) and Error, the mean distance of right glints.

        Without a right glint the error is the tolerance, which it can never exceed.
        """
        return {
            "F1": _share(2 * self._hits, self._claimed + self._existing),
            "Precision": _share(self._hits, self._claimed),
            "Recall": _share(self._hits, self._existing),
            "Error": self._distance / self._hits if self._hits else self._tolerance,
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def build_metrics(config: GlintConfig) -> GlintMetrics:
    """Builds the metrics that a configuration describes."""
    detection = config.detection
    return GlintMetrics(stride=config.model.output_stride, threshold=detection.threshold, tolerance=detection.tolerance)
