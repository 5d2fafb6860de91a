"""Lines one pixel wide: what is left of a mask when its edges are taken away, and how its pixels hang together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Pixel = tuple[int, int]
"""Row and column."""

_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The neighbours of a pixel, clockwise from the one above."""


def thinned(mask: Mask) -> Mask:
    """Gives the middle lines of a mask, by the algorithm of Guo and Hall, which leaves the ends of lines alone.

    In turn from two opposite corners, pixels at an edge are taken away whose neighbours stay connected without them,
    until there are none.
    """
    lines = np.pad(mask, 1)
    while True:
        before = int(lines.sum())
        for turn in (0, 4):
            lines &= ~_removable(lines, turn)
        if int(lines.sum()) == before:
            return lines[1:-1, 1:-1]


def _removable(lines: Mask, turn: int) -> Mask:
    """Gives what may be taken away at once; turned by four neighbours, from the opposite corner."""
    around = [np.roll(lines, (-down, -right), (0, 1)) for down, right in _AROUND]
    sides, corners = around[0::2], around[1::2]
    # Above and right of it, right and below, and so on: one gap in this ring means that nothing is torn apart.
    parts = sum((~sides[k] & (corners[k] | sides[(k + 1) % 4])).astype(np.int8) for k in range(4))
    pairs = sum((sides[k] | corners[k]).astype(np.int8) for k in range(4))
    other_pairs = sum((sides[k] | corners[k - 1]).astype(np.int8) for k in range(4))
    width = np.minimum(pairs, other_pairs)
    left, below, below_left, above_left = (around[(place + turn) % 8] for place in (6, 4, 5, 7))
    is_kept = (below | below_left | ~above_left) & left
    return lines & (parts == 1) & (width >= 2) & (width <= 3) & ~is_kept


def neighbours(lines: Mask) -> dict[Pixel, list[Pixel]]:
    """Gives which pixels hang together; across a corner only where there is no way along the sides."""
    pixels = {(int(row), int(column)) for row, column in np.argwhere(lines)}
    return {
        (row, column): [
            (row + down, column + right)
            for down, right in _AROUND
            if (row + down, column + right) in pixels
            and not (down and right and {(row + down, column), (row, column + right)} & pixels)
        ]
        for row, column in pixels
    }
