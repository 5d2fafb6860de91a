"""Learning-rate schedules: pure functions of how many steps are done, so that there is nothing to save.

Each maker gives a function from the number of finished steps to the factor of the configured rate.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """Gives the schedule that never changes."""
    return lambda step: 1.0


def cosine(length: int, *, final: float = 0.0, every: int = 1) -> Schedule:
    """Gives a half cosine from 1 to `final` over `length` steps, changing only every so many steps."""
    return lambda step: final + (1 - final) * (1 + math.cos(math.pi * _progress(step, length, every))) / 2


def linear(length: int, *, final: float = 0.0, every: int = 1) -> Schedule:
    """Gives a straight line from 1 to `final` over `length` steps, changing only every so many steps."""
    return lambda step: 1 + (final - 1) * _progress(step, length, every)


def steps(at: Sequence[int], *, gamma: float) -> Schedule:
    """Gives a staircase that is multiplied by `gamma` at each of the given steps."""
    edges = sorted(at)
    return lambda step: gamma ** bisect_right(edges, step)


def one_cycle(length: int, *, peak_at: float, start: float, final: float) -> Schedule:
    """Gives half a cosine up from `start` to 1 at `peak_at` (a share of the length), and half a cosine down to `final`.

    The length is that of this run's own steps, so a last short batch can never overrun it.
    """

    def factor(step: int) -> float:
        progress = _progress(step, length, 1)
        if progress < peak_at:
            return start + (1 - start) * (1 - math.cos(math.pi * progress / peak_at)) / 2
        return final + (1 - final) * (1 + math.cos(math.pi * (progress - peak_at) / (1 - peak_at))) / 2

    return factor


def warmed_up(schedule: Schedule, length: int) -> Schedule:
    """Gives the schedule with a straight rise over its first `length` steps: step 1 of 4 has a quarter of the rate."""
    if length == 0:
        return schedule
    return lambda step: schedule(step) * min(1.0, (step + 1) / length)


def _progress(step: int, length: int, every: int) -> float:
    return min(1.0, step // every * every / length)
