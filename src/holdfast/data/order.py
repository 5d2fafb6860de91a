"""The order of samples: a pure function of (seed, stage, epoch, position)."""

from __future__ import annotations

import numpy as np

from holdfast.randomness import Keys

ORDER_VERSION = 1
"""Part of the checkpoint: a permutation made in another way would be another order."""
SORTED_BELOW = 10_000_000
"""From this many samples on, positions are permuted one by one instead of all at once; part of the order, too."""
_ROUNDS = 6


class Order:
    """The order in which each epoch visits the samples 0 to `length - 1`; in their own order without a `shuffle`.

    The same on every machine and with every version. A large data set costs nothing to resume at any position: below
    ten million samples an epoch is one sort of random words, above that each position is computed by itself.
    """

    def __init__(self, length: int, shuffle: Keys | None) -> None:
        self.length = length
        self._shuffle = shuffle
        self._sorted: dict[int, np.ndarray] = {}

    def indices(self, epoch: int, start: int, stop: int) -> list[int]:
        """Gives the samples at positions `start` to `stop - 1` of an epoch (counted from 0)."""
        if self._shuffle is None:
            return list(range(start, min(stop, self.length)))
        if self.length >= SORTED_BELOW:
            positions = np.arange(start, min(stop, self.length), dtype=np.uint64)
            keys = [self._shuffle(epoch, number) for number in range(_ROUNDS)]
            return _walked(positions, self.length, keys).tolist()
        if epoch not in self._sorted:
            # The last two are kept, for workers read ahead into the next epoch.
            self._sorted = {e: p for e, p in self._sorted.items() if e == epoch - 1}
            self._sorted[epoch] = _sorted_words(self.length, self._shuffle(epoch))
        return self._sorted[epoch][start:stop].tolist()


def _sorted_words(length: int, key: int) -> np.ndarray:
    """Gives a permutation by sorting raw words, which NumPy promises to keep (it does not promise `permutation`)."""
    return np.argsort(np.random.Philox(key=key).random_raw(length), kind="stable")


def _walked(positions: np.ndarray, length: int, keys: list[int]) -> np.ndarray:
    """Gives where positions go in a permutation of `length`: a Feistel network on the next even number of bits.

    The network permutes a power of four that may be larger than the length; who lands outside walks on until inside,
    which keeps it a permutation and takes fewer than four steps on average.
    """
    half = (max(length - 1, 1).bit_length() + 1) // 2
    found = _network(positions, half, keys)
    while (outside := found >= length).any():
        found[outside] = _network(found[outside], half, keys)
    return found


def _network(values: np.ndarray, half: int, keys: list[int]) -> np.ndarray:
    mask = np.uint64((1 << half) - 1)
    left, right = values >> np.uint64(half), values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ np.uint64(key)) & mask)
    return (left << np.uint64(half)) | right


def _mixed(words: np.ndarray) -> np.ndarray:
    """Gives words in which every bit depends on every bit (the finisher of SplitMix64)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
