"""Views of a data set: a fixed part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from holdfast.data.scheduled import Scheduled
from holdfast.errors import UserError


class View(Dataset[Any]):
    """Some samples of another data set, under numbers of their own from 0."""

    def __init__(self, dataset: Dataset[Any], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int | Scheduled) -> Any:
        if isinstance(index, Scheduled):
            return self.dataset[replace(index, index=self.indices[index.index])]
        return self.dataset[self.indices[index]]


def subset(dataset: Any, size: int, seed: int) -> View:
    """Gives `size` samples drawn at random, always the same for the same seed, in their own order.

    Raises:
        UserError: When there are fewer.
    """
    _check_size(dataset, size)
    words = np.random.Philox(key=seed).random_raw(len(dataset))
    return View(dataset, sorted(np.argsort(words, kind="stable")[:size].tolist()))


def first(dataset: Any, size: int) -> View:
    """Gives the first `size` samples.

    Raises:
        UserError: When there are fewer.
    """
    _check_size(dataset, size)
    return View(dataset, range(size))


def _check_size(dataset: Any, size: int) -> None:
    if size > len(dataset):
        raise UserError(
            f"`training.subset_size` must be at most the {len(dataset)} training samples, but got {size}; lower it."
        )
