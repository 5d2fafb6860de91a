"""Drawings made of cubic Bezier pieces: what hand-drawn ink looks like, as a pure function of a key and a level.

A drawing is a list of paths; a path is a list of pieces, each going on where and in the direction in which the one
before it ended. Positions are in pixels from the upper left corner; the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from holdfast.randomness import Keys

_MARGIN = 4.0
_TRIES = 10
_TURN = math.pi / 3
"""How far the chord of a piece may turn away from the direction in which the one before it ended."""
_BEND = math.pi / 4
"""How far a piece may leave, or reach, its ends away from its chord."""
_HANDLE = (0.25, 0.45)
"""Distance of the inner control points from the ends, as a share of the chord."""

Point = tuple[float, float]
Range = tuple[float, float]


class Piece(NamedTuple):
    """A cubic Bezier curve with a quadratic profile of its width."""

    points: tuple[Point, Point, Point, Point]
    widths: tuple[float, float, float]


class _Pen(NamedTuple):
    """How long and how wide pieces are: the length as a share of the picture's side, the width in pixels."""

    length: Range
    width: Range


Path = list[Piece]

_LONG = _Pen((0.3, 0.8), (2.0, 5.0))
_SHORT = _Pen((0.12, 0.35), (1.5, 4.0))
# Numbers of paths, and of the pieces of each, from level 0 on.
_LEVELS = (
    ((1, 1), (1, 1)),
    ((1, 3), (1, 1)),
    ((2, 5), (1, 1)),
    ((3, 8), (1, 1)),
    ((1, 1), (2, 3)),
    ((1, 1), (3, 5)),
    ((1, 1), (4, 8)),
    ((1, 2), (2, 3)),
    ((2, 3), (2, 4)),
    ((2, 4), (2, 5)),
)


class Ink:
    """Drawings by number: `ink(epoch, index, level=...)` is the same whenever and wherever it is asked for.

    Args:
        seed: Another seed gives other drawings.
        purpose: What they are for; another purpose has drawings of its own.
        size: Pixels along a side.
    """

    def __init__(self, seed: int, purpose: str, size: int) -> None:
        self.seed = seed
        self.purpose = purpose
        self.size = size

    def __call__(self, epoch: int, index: int, *, level: int) -> list[Path]:
        """Gives the drawing of an epoch and a number in it; levels above 9 are 9."""
        return draw_paths(Keys(self.seed, self.purpose, "ink")(epoch, index), level, self.size)


def draw_paths(key: int, level: int, size: int) -> list[Path]:
    """Draws the paths that belong to a key."""
    draws = _Draws(key)
    number_of_paths, number_of_pieces = _LEVELS[min(level, len(_LEVELS) - 1)]
    pen = _LONG if level == 0 else _SHORT
    paths = [_path(draws, size, draws.count(number_of_pieces), pen) for _ in range(draws.count(number_of_paths))]
    # Where an upper piece crosses a lower one, the fields are those of the lower one.
    return sorted(paths, key=lambda path: path[0].points[0][1])


class _Draws:
    """Draws from raw words, which NumPy promises to keep; it does not promise what its generators make of them."""

    def __init__(self, key: int) -> None:
        self._source = np.random.Philox(key=key)
        self._words: list[int] = []

    def uniform(self, low: float, high: float) -> float:
        if not self._words:
            self._words = (self._source.random_raw(64) >> np.uint64(11)).tolist()
        return low + (high - low) * self._words.pop() * 2.0**-53

    def count(self, limits: tuple[int, int]) -> int:
        low, high = limits
        return low + int(self.uniform(0, high - low + 1))


def _path(draws: _Draws, size: int, pieces: int, pen: _Pen) -> Path:
    start = (draws.uniform(0.1 * size, 0.9 * size), draws.uniform(0.1 * size, 0.9 * size))
    path: Path = []
    direction = None
    for _ in range(pieces):
        path.append(_piece(draws, size, start, direction, pen))
        before, start = path[-1].points[2:]
        direction = math.atan2(start[1] - before[1], start[0] - before[0])
    return path


def _piece(draws: _Draws, size: int, start: Point, direction: float | None, pen: _Pen) -> Piece:
    """Draws a piece that stays within the margin, going on in a direction if there is one."""
    for _ in range(_TRIES):
        chord = draws.uniform(0, 2 * math.pi) if direction is None else direction + draws.uniform(-_TURN, _TURN)
        length = size * draws.uniform(*pen.length)
        end = _moved(start, chord, length)
        leaves = chord + draws.uniform(-_BEND, _BEND) if direction is None else direction
        first = _moved(start, leaves, length * draws.uniform(*_HANDLE))
        arrives = chord + draws.uniform(-_BEND, _BEND)
        second = _moved(end, arrives, -length * draws.uniform(*_HANDLE))
        if all(_MARGIN <= value <= size - _MARGIN for point in (first, second, end) for value in point):
            break
    else:
        inwards = math.atan2(size / 2 - start[1], size / 2 - start[0])
        first, second, end = (_moved(start, inwards, size * pen.length[0] * part / 6) for part in (1, 2, 3))
    widths = (draws.uniform(*pen.width), draws.uniform(*pen.width), draws.uniform(*pen.width))
    return Piece((start, first, second, end), widths)


def _moved(point: Point, angle: float, distance: float) -> Point:
    return point[0] + distance * math.cos(angle), point[1] + distance * math.sin(angle)
