"""The picture of a drawing and its fields: what the network sees, and what it is to say about every pixel.

image     [1, S, S]  ink, from 0 to 1            tangent  [2, S, S]  cosine and sine of the double angle
skeleton  [1, S, S]  0 or 1                      width    [1, S, S]  width of the stroke / 10
keypoints [2, S, S]  0 or 1: nodes, anchors      offset   [2, S, S]  x and y from the pixel's centre

Tangent, width and offset are 0 off the skeleton. Nodes are the ends of paths; anchors are where two pieces of one
path meet. The double angle makes a direction the same as its opposite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from holdfast.systems.inktrace.bezier import Floats, cubic, quadratic
from holdfast.systems.inktrace.ink import Path

WIDTH_UNIT = 10.0
"""Pixels of a stroke's width for 1 in the field."""

_DISCS = 200
"""Discs that a piece is drawn with."""
_FINE = 2
"""Pixels of the canvas, along a side, for one of the picture."""


class Fields(NamedTuple):
    """The fields of one picture."""

    skeleton: Floats
    keypoints: Floats
    tangent: Floats
    width: Floats
    offset: Floats


CHANNELS = {"skeleton": 1, "keypoints": 2, "tangent": 2, "width": 1, "offset": 2}
"""Channels of each field."""


class Trail(NamedTuple):
    """Points along strokes, in pixels; of several in one pixel, the last counts."""

    places: Floats
    """x and y [N, 2]."""
    angles: Floats
    widths: Floats


def draw_image(paths: Sequence[Path], size: int) -> Floats:
    """Draws the ink: discs along every piece on a canvas of twice the size, averaged over 2 x 2 pixels."""
    pieces = [piece for path in paths for piece in path]
    if not pieces:
        return np.zeros((1, size, size), np.float32)
    steps = np.linspace(0, 1, _DISCS)
    places = _FINE * (cubic(steps) @ np.array([piece.points for piece in pieces])).reshape(-1, 2)
    # On a canvas of twice the size, the radius of a disc is the width of the stroke.
    widths = (np.array([piece.widths for piece in pieces]) @ quadratic(steps).T).reshape(-1)
    radii = np.maximum(0.5, widths)
    reach = int(np.ceil(radii.max()))
    rows = np.floor(places[:, 1:]).astype(np.int64) + np.arange(-reach, reach + 1)
    # Each disc covers, in each row, the pixels whose centres are at most so far from its own.
    squares = (radii**2)[:, None] - (rows + 0.5 - places[:, 1:]) ** 2
    is_crossed = squares >= 0
    half, row = np.sqrt(squares[is_crossed]), rows[is_crossed] + reach
    centre = places[np.nonzero(is_crossed)[0], 0] - 0.5 + reach
    side = _FINE * size + 2 * reach + 1  # with a border, for discs that reach over the edge
    begins = row * side + np.ceil(centre - half).astype(np.int64)
    ends = row * side + np.floor(centre + half).astype(np.int64) + 1
    discs = np.cumsum(np.bincount(begins, minlength=side * side) - np.bincount(ends, minlength=side * side))
    canvas = (discs.reshape(side, side) > 0)[reach : reach + _FINE * size, reach : reach + _FINE * size]
    return canvas.reshape(size, _FINE, size, _FINE).mean((1, 3), dtype=np.float32)[None]


def draw_fields(paths: Sequence[Path], size: int) -> Fields:
    """Draws what the network is to say about every pixel."""
    trails = [_trail(np.array(piece.points), np.array(piece.widths)) for path in paths for piece in path]
    nodes = [point for path in paths for point in (path[0].points[0], path[-1].points[-1])]
    anchors = [piece.points[-1] for path in paths for piece in path[:-1]]
    trail = Trail(*(np.concatenate(parts) for parts in zip(*trails, strict=True)))
    return write_fields(trail, np.array(nodes), np.array(anchors).reshape(-1, 2), size)


def write_fields(trail: Trail, nodes: Floats, anchors: Floats, size: int) -> Fields:
    """Writes points along strokes, and key points, into the pixels that they lie in."""
    fields = Fields(*(np.zeros((channels, size, size), np.float32) for channels in CHANNELS.values()))
    column, row = pixels = _pixels(trail.places, size)
    fields.skeleton[0, row, column] = 1
    fields.tangent[:, row, column] = np.cos(2 * trail.angles), np.sin(2 * trail.angles)
    fields.width[0, row, column] = trail.widths / WIDTH_UNIT
    fields.offset[:, row, column] = trail.places.T - (pixels + 0.5)
    for channel, points in enumerate((nodes, anchors)):
        column, row = _pixels(points, size)
        fields.keypoints[channel, row, column] = 1
    fields.keypoints[1][fields.keypoints[0] > 0] = 0
    return fields


def _trail(points: Floats, widths: Floats) -> Trail:
    """Gives about two points of a piece for each pixel of its length."""
    sides = np.diff(points, axis=0)
    length = (np.linalg.norm(points[3] - points[0]) + np.linalg.norm(sides, axis=1).sum()) / 2
    steps = np.linspace(0, 1, max(2, int(2 * length)))
    slopes = quadratic(steps) @ sides
    return Trail(cubic(steps) @ points, np.arctan2(slopes[:, 1], slopes[:, 0]), quadratic(steps) @ widths)


def _pixels(places: Floats, size: int) -> NDArray[np.int64]:
    """Gives columns and rows of the pixels that places lie in."""
    return np.floor(places.T).astype(np.int64).clip(0, size - 1)
