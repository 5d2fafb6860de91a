"""What changes with the epoch (a curriculum, the size of pictures), handed to a data set with each index.

A schedule is a function from an epoch, counted from 0, to any value. The value travels with the index into whatever
process fetches the sample, so there is nothing that a loader worker could miss or a resumed run forget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

Schedule = Callable[[int], Any]


@dataclass(frozen=True)
class Scheduled:
    """What a data set with a schedule is asked for, instead of a bare index."""

    index: int
    value: Any
    """What the schedule says for the epoch."""


class Fixed(Dataset[Any]):
    """A data set with a schedule as it is at one value, whatever the epoch."""

    def __init__(self, dataset: Any, value: Any) -> None:
        self.dataset = dataset
        self.value = value

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[Scheduled(index, self.value)]
