"""Data sets that can only be iterated, with random augmentation, each with another notion of its place."""

from __future__ import annotations

import random

import torch
from torch.utils.data import IterableDataset

from tests.tiny import Noisy

SAMPLES = 14


class Resetting(IterableDataset):
    """Is at its beginning again as soon as it has come to its end."""

    def __init__(self, samples=SAMPLES):
        self.data = Noisy(samples)
        self.position = 0

    def __iter__(self):
        while self.position < len(self.data):
            self.position += 1
            yield self.data[self.position - 1]
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


class Sized(Resetting):
    """Has a length, too."""

    def __len__(self):
        return len(self.data)


class Staying(Resetting):
    """Is its own iterator, and stays at its end for ever."""

    def __iter__(self):
        return self

    def __next__(self):
        if self.position == len(self.data):
            raise StopIteration
        self.position += 1
        return self.data[self.position - 1]


class Sticking(Resetting):
    """Begins each pass where it was last told to begin."""

    start = 0

    def __iter__(self):
        for index in range(self.start, len(self.data)):
            self.position = index + 1
            yield self.data[index]

    def load_state_dict(self, state):
        self.start = self.position = state["position"]


class Beginning(Resetting):
    """Begins each pass at its beginning, but for the first one after it was told where to begin."""

    start = 0

    def __iter__(self):
        start, self.start = self.start, 0
        for index in range(start, len(self.data)):
            self.position = index + 1
            yield self.data[index]

    def load_state_dict(self, state):
        self.start = self.position = state["position"]


class Shuffling(Resetting):
    """Has another order in each pass, drawn when it begins, and two samples more in each."""

    def __init__(self, samples=SAMPLES):
        super().__init__(samples + 10)
        self.length = samples
        self.order = None

    def __iter__(self):
        if self.order is None:
            self.order = torch.randperm(len(self.data))[: self.length].tolist()
        while self.order:
            yield self.data[self.order.pop()]
        self.order = None
        self.length += 2

    def state_dict(self):
        return {"order": self.order, "length": self.length}

    def load_state_dict(self, state):
        self.order, self.length = state["order"], state["length"]


class Buffering(Resetting):
    """Gives its samples in the disorder of a small buffer."""

    def __init__(self, samples=SAMPLES):
        super().__init__(samples)
        self.buffer = []

    def __iter__(self):
        while self.position < len(self.data) or self.buffer:
            if self.position < len(self.data):
                self.position += 1
                self.buffer.append(self.data[self.position - 1])
            if len(self.buffer) > 3 or self.position == len(self.data):
                yield self.buffer.pop(random.randrange(len(self.buffer)))
        self.position = 0

    def state_dict(self):
        return {**super().state_dict(), "buffer": self.buffer}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.buffer = state["buffer"]


class Endless(Resetting):
    """Never comes to an end."""

    def __iter__(self):
        while True:
            self.position += 1
            yield self.data[self.position % len(self.data)]


class Forgetting(Resetting):
    """Does not go back to where it was: what a resume must not survive."""

    def load_state_dict(self, state):
        pass


class Stateless(IterableDataset):
    """Cannot say where it is."""

    def __init__(self, samples=SAMPLES):
        self.data = Noisy(samples)

    def __iter__(self):
        return (self.data[index] for index in range(len(self.data)))
