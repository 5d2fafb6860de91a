"""How well the peaks that were found agree with the true ones, for each glint and over all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from holdfast.systems.glint.config import GlintConfig
from holdfast.systems.glint.peaks import find_peaks


class GlintMetrics:
    """Precision, recall, F1 and localisation error, per glint and over all; a glint is right within the tolerance.

    Args:
        num_glints: How many there are.
        stride: Pixels of the image for one of a map.
        threshold: Confidence that a peak must exceed to count.
        tolerance: Distance, in pixels of the image, up to which a glint is right.
    """

    def __init__(self, *, num_glints: int, stride: int, threshold: float, tolerance: float) -> None:
        self._stride = stride
        self._threshold = threshold
        self._tolerance = tolerance
        self._hits, self._claimed, self._existing = torch.zeros(3, num_glints, dtype=torch.int64)
        self._distance = torch.zeros(num_glints, dtype=torch.float64)

    def update(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> None:
        """Counts one batch; `outputs` are logits. A glint in a wrong place is a false alarm and a miss."""
        claimed = find_peaks(torch.sigmoid(outputs), stride=self._stride, threshold=self._threshold)
        truth = find_peaks(batch["heatmap"], stride=self._stride, threshold=0.0)
        exists = truth.found & batch["present"]
        distance = (claimed.positions - truth.positions).norm(dim=-1)
        hit = claimed.found & exists & (distance <= self._tolerance)
        self._hits += hit.sum(dim=0).cpu()
        self._claimed += claimed.found.sum(dim=0).cpu()
        self._existing += exists.sum(dim=0).cpu()
        self._distance += torch.where(hit, distance, 0).sum(dim=0).cpu()

    def result(self) -> dict[str, float]:
        """Gives F1, Precision, Recall and Error over all glints, then each of them for each glint, as `F1/g3`.

        F1, precision and recall are 0 where nothing was counted. The error is the mean distance of the glints that
        are right; without one it is the tolerance, which it can never exceed.
        """
        over_all = self._scores(slice(None))
        of_each = [self._scores(slice(glint, glint + 1)) for glint in range(len(self._hits))]
        return over_all | {
            f"{name}/g{number}": scores[name] for name in over_all for number, scores in enumerate(of_each, start=1)
        }

    def _scores(self, glints: slice) -> dict[str, float]:
        counts = (self._hits, self._claimed, self._existing)
        hits, claimed, existing = (int(count[glints].sum()) for count in counts)
        return {
            "F1": _share(2 * hits, claimed + existing),
            "Precision": _share(hits, claimed),
            "Recall": _share(hits, existing),
            "Error": float(self._distance[glints].sum()) / hits if hits else self._tolerance,
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def build_metrics(config: GlintConfig) -> GlintMetrics:
    """Builds the metrics that a configuration describes."""
    return GlintMetrics(
        num_glints=config.model.num_glints,
        stride=config.model.output_stride,
        threshold=config.detection.threshold,
        tolerance=config.detection.tolerance,
    )
