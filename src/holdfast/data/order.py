"""The order of samples: a pure function of (seed, stage, epoch, position)."""

from __future__ import annotations

import numpy as np

from holdfast.randomness import Keys

ORDER_VERSION = 1
"""Part of the checkpoint: a permutation made in another way would be another order."""


class Order:
    """The order in which each epoch visits the samples 0 to `length - 1`; in their own order without a `shuffle`.

    Made from the raw words of a counter-based generator, which NumPy promises to keep, and a stable sort: the same
    on every machine and with every version. Costs one sort per epoch, and nothing to resume.
    The last two epochs are kept, for workers read ahead into the next one.
    """

    def __init__(self, length: int, shuffle: Keys | None) -> None:
        self.length = length
        self._shuffle = shuffle
        self._permutations: dict[int, np.ndarray] = {}

    def indices(self, epoch: int, start: int, stop: int) -> list[int]:
        """Gives the samples at positions `start` to `stop - 1` of an epoch (counted from 0)."""
        if self._shuffle is None:
            return list(range(start, min(stop, self.length)))
        if epoch not in self._permutations:
            self._permutations = {e: p for e, p in self._permutations.items() if e == epoch - 1}
            self._permutations[epoch] = self._permutation(self._shuffle(epoch))
        return self._permutations[epoch][start:stop].tolist()

    def _permutation(self, key: int) -> np.ndarray:
        return np.argsort(np.random.Philox(key=key).random_raw(self.length), kind="stable")
