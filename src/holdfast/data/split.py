"""Which samples of a data set are held out: drawn when a run begins, and kept with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from holdfast.data.batches import Batches, Composer
from holdfast.data.order import Order
from holdfast.errors import DataError


class Split:
    """The division of one data set into samples to train on and samples held out.

    It is kept in every checkpoint: a run that goes on has the split that it began with, whatever would be drawn now,
    and data that is not what it was is refused.

    Args:
        count: How many samples there are.
        held_out: The numbers of those that are held out.
        fingerprint: Something that differs for data that differs.
    """

    def __init__(self, count: int, held_out: Sequence[int], fingerprint: str) -> None:
        self.count = count
        self.fingerprint = fingerprint
        self.train: list[int] = []
        self.held_out: list[int] = []
        self._divide(held_out)

    @classmethod
    def drawn(cls, count: int, *, share: float, seed: int, fingerprint: str) -> Split:
        """Draws a split, the same for the same seed wherever it runs."""
        # Raw words, for what NumPy's generators make of them may change from version to version.
        order = np.argsort(np.random.Philox(key=seed).random_raw(count), kind="stable").tolist()
        return cls(count, order[: round(count * share)], fingerprint)

    def state_dict(self) -> dict[str, Any]:
        """Gives the split as it is kept in a checkpoint."""
        return {"count": self.count, "held_out": torch.tensor(self.held_out), "fingerprint": self.fingerprint}

    def fits(self, state: dict[str, Any]) -> bool:
        """Says whether a split that was kept is one of this data."""
        return (self.count, self.fingerprint) == (state["count"], state["fingerprint"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a split that was kept.

        Raises:
            DataError: When it was one of other data.
        """
        if not self.fits(state):
            raise DataError(
                f"`data.path` must hold what the run began with, {state['count']} samples with the fingerprint "
                f"{state['fingerprint']}, but got {self.count} with {self.fingerprint}; bring back that data, or start "
                "a new run with --init-from."
            )
        self._divide(state["held_out"].tolist())

    def _divide(self, held_out: Sequence[int]) -> None:
        chosen = set(held_out)
        self.held_out = sorted(chosen)
        self.train = [index for index in range(self.count) if index not in chosen]


class SplitBatches(Batches):
    """Batches of data that was split: what they remember is how.

    Args:
        split: The split of the data set that the composer fetches from.
        composer: As for `Batches`, like all others.
        order: Which sample stands at which position.
        batch_size: Samples per step, accumulation included.
        accumulation: Microbatches per step.
        workers: Processes that fetch samples.
    """

    def __init__(
        self,
        split: Split,
        composer: Composer,
        order: Order,
        *,
        batch_size: int,
        accumulation: int = 1,
        workers: int = 0,
    ) -> None:
        super().__init__(composer, order, batch_size=batch_size, accumulation=accumulation, workers=workers)
        self._split = split

    def state_dict(self) -> dict[str, Any]:
        """Gives the split; where the data is, the step says."""
        return {"split": self._split.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over the split, where there is one: a run that began elsewhere may have none."""
        if "split" in state:
            self._split.load_state_dict(state["split"])
