"""How well predictions agree with the fields: the skeleton one to one, key points, and what is said on the skeleton."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from holdfast.systems.inktrace.config import InkDetection, InkTraceConfig
from holdfast.systems.inktrace.fields import WIDTH_UNIT
from holdfast.systems.inktrace.keypoints import peaks, within
from holdfast.systems.inktrace.model import Prediction

_SHIFTS = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_TOLERANCE = 2
"""Pixels that a key point may be off."""


def matched_pixels(claimed: Tensor, true: Tensor) -> int:
    """Gives how many claimed pixels have a true one of their own, at most one pixel away in each direction.

    One to one: a line that is drawn three pixels wide has at most a third of its pixels matched. Pairs are made as
    they come, the nearest first, so the count may be a little less than the best possible one, and never more.

    Args:
        claimed: Booleans [N, 1, S, S].
        true: Likewise.
    """
    open_claims, open_truths = _with_border(claimed), _with_border(true)
    count = 0
    for down, right in _SHIFTS:
        pairs = open_claims & torch.roll(open_truths, (down, right), (2, 3))
        open_claims = open_claims & ~pairs
        open_truths = open_truths & ~torch.roll(pairs, (-down, -right), (2, 3))
        count += int(pairs.sum())
    return count


def _with_border(marks: Tensor) -> Tensor:
    # What is rolled out at one side must not come in at the other.
    return torch.nn.functional.pad(marks, (1, 1, 1, 1))


class InkMetrics:
    """Skeleton, key points, and errors of what is said about the true skeleton.

    Args:
        detection: From which chance on a pixel counts.
        full: Whether there are heads for key points, width and offset.
    """

    def __init__(self, detection: InkDetection, *, full: bool) -> None:
        self._detection = detection
        self._full = full
        self._counts: dict[str, float] = {}

    def update(self, outputs: Prediction, batch: Mapping[str, Tensor]) -> None:
        """Counts one batch."""
        true = batch["skeleton"] > 0
        self._count_skeleton(torch.sigmoid(outputs.skeleton.float()) >= self._detection.skeleton, true)
        self._add("angle", _angle_errors(outputs.tangent.float(), batch["tangent"])[true].sum())
        if outputs.keypoints is None or outputs.width is None or outputs.offset is None:
            return
        self._count_keypoints(torch.sigmoid(outputs.keypoints.float()), batch["keypoints"] > 0)
        width = (outputs.width.float() - batch["width"]).abs() * WIDTH_UNIT
        offset = (outputs.offset.float() - batch["offset"]).norm(dim=1, keepdim=True)
        self._add("width", width[true].sum())
        self._add("offset", offset[true].sum())

    def result(self) -> dict[str, float]:
        """Gives every metric.

        F1, Precision and Recall of the skeleton are those of a one-to-one match within a pixel; IoU is exact. Shares
        are 0 where nothing was counted. Errors are means over the true skeleton, of the angle in degrees, of width
        and offset in pixels. Node and anchor recall count the true key points with a claimed one within two pixels.
        """
        matched, claimed, true = (self._counts.get(name, 0.0) for name in ("matched", "claimed", "true"))
        both = self._counts.get("both", 0.0)
        scores = {
            "F1": _share(2 * matched, claimed + true),
            "Precision": _share(matched, claimed),
            "Recall": _share(matched, true),
            "IoU": _share(both, claimed + true - both),
            "AngleError": self._mean("angle"),
        }
        if not self._full:
            return scores
        return scores | {
            "KeypointRecall": self._share_of("found/nodes", "found/anchors", of=("true/nodes", "true/anchors")),
            "KeypointPrecision": self._share_of("right/nodes", "right/anchors", of=("said/nodes", "said/anchors")),
            "NodeRecall": self._share_of("found/nodes", of=("true/nodes",)),
            "AnchorRecall": self._share_of("found/anchors", of=("true/anchors",)),
            "WidthError": self._mean("width"),
            "OffsetError": self._mean("offset"),
        }

    def _count_skeleton(self, claimed: Tensor, true: Tensor) -> None:
        self._add("matched", matched_pixels(claimed, true))
        self._add("claimed", claimed.sum())
        self._add("true", true.sum())
        self._add("both", (claimed & true).sum())

    def _count_keypoints(self, chances: Tensor, true: Tensor) -> None:
        said = peaks(chances, self._detection.keypoints)
        found, right = true & within(said, _TOLERANCE), said & within(true, _TOLERANCE)
        for name, marks in (("true", true), ("said", said), ("found", found), ("right", right)):
            for channel, kind in enumerate(("nodes", "anchors")):
                self._add(f"{name}/{kind}", marks[:, channel].sum())

    def _add(self, name: str, count: Tensor | float) -> None:
        self._counts[name] = self._counts.get(name, 0.0) + float(count)

    def _mean(self, name: str) -> float:
        return _share(self._counts.get(name, 0.0), self._counts.get("true", 0.0))

    def _share_of(self, *names: str, of: tuple[str, ...]) -> float:
        part, whole = (sum(self._counts.get(name, 0.0) for name in group) for group in (names, of))
        return _share(part, whole)


def _angle_errors(said: Tensor, true: Tensor) -> Tensor:
    """Gives how many degrees two directions differ [N, 1, S, S]; opposite ones are the same, so at most 90."""
    cross = said[:, 1] * true[:, 0] - said[:, 0] * true[:, 1]
    along = said[:, 0] * true[:, 0] + said[:, 1] * true[:, 1]
    return torch.rad2deg(torch.atan2(cross, along).abs() / 2)[:, None]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def build_metrics(config: InkTraceConfig) -> InkMetrics:
    """Builds the metrics that a configuration describes."""
    return InkMetrics(config.detection, full=config.model.full_heads)
