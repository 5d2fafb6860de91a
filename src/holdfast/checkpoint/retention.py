"""Which numbered checkpoints are kept: a union of rules over what stands in the folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

FEWEST = 2
"""Never fewer good checkpoints than this, whatever the rules say: the newest may turn out to be damaged."""


@dataclass(frozen=True)
class Numbered:
    """A numbered checkpoint: its file name, the counts that it holds, and its monitored metric."""

    name: str
    epoch: int
    step: int
    metric: float | None = None


@dataclass(frozen=True)
class Keep:
    """The rules; a checkpoint stays when any of them wants it."""

    last: int = 3
    """How many of the newest are kept."""
    best: int = 0
    """How many of the best by the monitored metric are kept."""
    mode: Literal["min", "max"] = "min"
    """Whether a lower or a higher metric is better."""
    every: int | None = None
    """Keeps each whole multiple of so many epochs (steps for a run that is counted in steps)."""
    milestones: frozenset[int] = frozenset()
    """Epochs (or steps) that are kept."""
    unit: Literal["epochs", "steps"] = "epochs"
    """What `every` and `milestones` count."""

    def reasons(self, checkpoints: Sequence[Numbered]) -> dict[str, list[str]]:
        """Gives, for each file, newest first, the rules that keep it; a file without a rule may go."""
        newest = newest_first(checkpoints)
        reasons: dict[str, list[str]] = {item.name: [] for item in newest}
        last = max(self.last, FEWEST)
        for item in newest[:last]:
            reasons[item.name].append(f"one of the last {last}")
        for item in self._best(newest):
            reasons[item.name].append(f"one of the best {self.best}")
        for item in newest:
            count = item.epoch if self.unit == "epochs" else item.step
            # A checkpoint in the middle of epoch 11 also has 10 finished epochs, but it is not the one of epoch 10.
            if item.name != f"checkpoint_{self.unit[:-1]}{count}.pth":
                continue
            if count in self.milestones:
                reasons[item.name].append(f"milestone {count}")
            if self.every and count % self.every == 0:
                reasons[item.name].append(f"every {self.every} {self.unit}")
        return reasons

    def _best(self, newest: Sequence[Numbered]) -> list[Numbered]:
        sign = 1 if self.mode == "min" else -1
        judged = [
            (sign * item.metric, item) for item in newest if item.metric is not None and item.metric == item.metric
        ]
        return [item for _, item in sorted(judged, key=lambda pair: pair[0])[: self.best]]


def newest_first(checkpoints: Sequence[Numbered]) -> list[Numbered]:
    """Gives the checkpoints by what they have done, the furthest first."""
    return sorted(checkpoints, key=lambda item: (item.step, item.epoch, item.name), reverse=True)
