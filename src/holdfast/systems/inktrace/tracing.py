"""Strokes from fields: lines are followed from end to end, straight on where they cross, and cut at anchors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from holdfast.systems.inktrace.bezier import Floats
from holdfast.systems.inktrace.fields import WIDTH_UNIT
from holdfast.systems.inktrace.fitting import fit_curve
from holdfast.systems.inktrace.ink import Path
from holdfast.systems.inktrace.thinning import Pixel, neighbours, thinned

_SPUR = 3
"""Pixels of a branch, with an end of its own, up to which it is taken for a trace of thinning."""
_LOOK = 5
"""Pixels along a branch that say in which direction it leaves a crossing."""
_STRAIGHT = -0.7
"""The cosine between two branches up to which one goes on as the other (135 degrees)."""
_CUT = 2.0
"""Pixels from an anchor within which a line is cut."""


class Traced(NamedTuple):
    """What the strokes are made from, of one picture; positions, widths and cuts where the network says them."""

    skeleton: NDArray[np.bool_]
    offset: Floats | None = None
    """x and y from the pixel's centre [2, S, S]."""
    width: Floats | None = None
    """In units of `WIDTH_UNIT` [S, S]."""
    anchors: NDArray[np.bool_] | None = None


def trace(fields: Traced) -> list[Path]:
    """Gives the strokes of a picture as paths of Bezier pieces."""
    return [_as_path(line, fields) for line in follow(thinned(fields.skeleton))]


def follow(lines: NDArray[np.bool_]) -> list[list[Pixel]]:
    """Gives the pixels of lines one pixel wide, line by line, in order; the longest first."""
    links = neighbours(lines)
    branches = list(_branches(links))
    branches = [branch for branch in branches if not _is_spur(branch, links)]
    return sorted(_joined(branches, links), key=len, reverse=True)


def _branches(links: dict[Pixel, list[Pixel]]) -> Iterator[list[Pixel]]:
    """Gives the stretches between pixels that do not have two neighbours, then closed ones."""
    walked: set[frozenset[Pixel]] = set()
    for start in sorted(links, key=lambda pixel: (len(links[pixel]) == 2, pixel)):
        if not links[start]:
            yield [start]
        for following in links[start]:
            if frozenset((start, following)) in walked:
                continue
            branch = [start]
            here = following
            while True:
                walked.add(frozenset((branch[-1], here)))
                branch.append(here)
                onward = [pixel for pixel in links[here] if pixel != branch[-2]]
                if len(links[here]) != 2 or here == start:
                    break
                here = onward[0]
            yield branch


def _is_spur(branch: list[Pixel], links: dict[Pixel, list[Pixel]]) -> bool:
    degrees = sorted(len(links[end]) for end in (branch[0], branch[-1]))
    return len(branch) <= _SPUR and degrees[0] == 1 and degrees[1] > 2


def _joined(branches: list[list[Pixel]], links: dict[Pixel, list[Pixel]]) -> Iterator[list[Pixel]]:
    """Joins branches that go straight on at a crossing."""
    partner = _partners(branches, links)
    used: set[int] = set()
    starts = [(number, side) for number in range(len(branches)) for side in (0, 1) if (number, side) not in partner]
    for number, side in [*starts, *((number, 0) for number in range(len(branches)))]:
        if number in used:
            continue
        line: list[Pixel] = []
        at: tuple[int, int] | None = (number, side)
        while at is not None and at[0] not in used:
            used.add(at[0])
            branch = branches[at[0]] if at[1] == 0 else branches[at[0]][::-1]
            line += branch[1:] if line and line[-1] == branch[0] else branch
            at = partner.get((at[0], 1 - at[1]))
        yield line


def _partners(branches: list[list[Pixel]], links: dict[Pixel, list[Pixel]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Gives, for ends of branches at a crossing, the end of the branch that goes on; the straightest first."""
    at_crossing: dict[Pixel, list[tuple[int, int]]] = {}
    for number, branch in enumerate(branches):
        for side, end in ((0, branch[0]), (1, branch[-1])):
            if len(links[end]) > 2:
                at_crossing.setdefault(end, []).append((number, side))
    pairs = [
        (float(_leaving(branches, one) @ _leaving(branches, other)), one, other)
        for ends in at_crossing.values()
        for place, one in enumerate(ends)
        for other in ends[place + 1 :]
    ]
    partner: dict[tuple[int, int], tuple[int, int]] = {}
    for cosine, one, other in sorted(pairs):
        if cosine <= _STRAIGHT and one not in partner and other not in partner:
            partner[one], partner[other] = other, one
    return partner


def _leaving(branches: list[list[Pixel]], end: tuple[int, int]) -> Floats:
    """Gives the direction in which a branch leaves one of its ends."""
    branch = branches[end[0]] if end[1] == 0 else branches[end[0]][::-1]
    way = np.subtract(branch[min(_LOOK, len(branch) - 1)], branch[0]).astype(float)
    return way / max(1e-9, float(np.linalg.norm(way)))


def _as_path(line: list[Pixel], fields: Traced) -> Path:
    rows, columns = np.array(line).T
    places = np.stack([columns, rows], axis=1) + 0.5
    if fields.offset is not None:
        places = places + fields.offset[:, rows, columns].T
    widths = np.ones(len(line)) if fields.width is None else fields.width[rows, columns] * WIDTH_UNIT
    cuts = [0, *_cuts(line, fields.anchors), len(line) - 1]
    pieces: Path = []
    for start, stop in pairwise(cuts):
        if stop > start or len(line) == 1:
            pieces += fit_curve(places[start : stop + 1], widths[start : stop + 1])
    return pieces


def _cuts(line: list[Pixel], anchors: NDArray[np.bool_] | None) -> list[int]:
    """Gives where a line passes an anchor, but not at its ends."""
    if anchors is None or not anchors.any():
        return []
    distances = np.linalg.norm(np.array(line)[:, None] - np.argwhere(anchors)[None], axis=2)
    nearest = distances.argmin(axis=0)
    passed = nearest[distances.min(axis=0) <= _CUT]
    return sorted({int(place) for place in passed if 3 <= place < len(line) - 3})
