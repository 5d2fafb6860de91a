"""Bezier curves through points: least squares, and two curves where one is not close enough."""

from __future__ import annotations

import numpy as np

from holdfast.systems.inktrace.bezier import Floats, cubic, quadratic
from holdfast.systems.inktrace.ink import Path, Piece

_CLOSE = 0.8
"""Pixels that a point may be off its curve."""
_ROUNDS = 4
"""How often the points' places along the curve are looked for again."""
_FEW = 8
"""Points up to which a curve is not divided."""


def fit_curve(places: Floats, widths: Floats) -> Path:
    """Gives pieces that run from the first to the last of the points [N, 2], close to the others.

    Args:
        places: The points, in order.
        widths: Of the stroke at each of them.
    """
    steps = _by_length(places)
    for _ in range(_ROUNDS):
        points = _control_points(places, steps)
        steps = _nearest_steps(points, places, steps)
    points = _control_points(places, steps)
    errors = np.linalg.norm(cubic(steps) @ points - places, axis=1)
    if errors.max() <= _CLOSE or len(places) <= _FEW:
        return [_piece(points, steps, widths)]
    middle = int(errors[2:-2].argmax()) + 2
    return fit_curve(places[: middle + 1], widths[: middle + 1]) + fit_curve(places[middle:], widths[middle:])


def _by_length(places: Floats) -> Floats:
    """Gives each point's place along the line from 0 to 1."""
    passed = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    return passed / max(passed[-1], 1e-9)


def _control_points(places: Floats, steps: Floats) -> Floats:
    """Gives the curve between the first and the last point that is nearest to the others."""
    first, last = places[0], places[-1]
    thirds = np.array([first + (last - first) / 3, first + 2 * (last - first) / 3])
    if len(places) < 4:
        return np.stack([first, *thirds, last])
    shares = cubic(steps)
    rest = places - shares[:, :1] * first - shares[:, 3:] * last
    # A little weight on the straight line, for points that leave the handles open.
    matrix = np.concatenate([shares[:, 1:3], 0.03 * np.eye(2)])
    handles = np.linalg.lstsq(matrix, np.concatenate([rest, 0.03 * thirds]), rcond=None)[0]
    return np.stack([first, *handles, last])


def _nearest_steps(points: Floats, places: Floats, steps: Floats) -> Floats:
    """Moves each point's place along the curve to where the curve is nearest (one step of Newton's method)."""
    sides = np.diff(points, axis=0)
    slope = 3 * quadratic(steps) @ sides
    bend = 6 * np.stack([1 - steps, steps], axis=1) @ np.diff(sides, axis=0)
    away = cubic(steps) @ points - places
    down = (slope**2).sum(axis=1) + (away * bend).sum(axis=1)
    moved = steps - (away * slope).sum(axis=1) / np.where(np.abs(down) < 1e-9, 1.0, down)
    moved = np.where(down > 0, moved, steps).clip(0, 1)
    # Points keep their order, and the ends stay ends.
    moved[0], moved[-1] = 0.0, 1.0
    return np.maximum.accumulate(moved)


def _piece(points: Floats, steps: Floats, widths: Floats) -> Piece:
    (a, b, c, d) = (tuple(point) for point in points.tolist())
    if len(widths) < 3:
        mean = float(widths.mean())
        return Piece((a, b, c, d), (mean, mean, mean))
    matrix = np.concatenate([quadratic(steps), 0.1 * np.eye(3)])
    profile = np.linalg.lstsq(matrix, np.concatenate([widths, np.full(3, 0.1 * widths.mean())]), rcond=None)[0]
    first, middle, last = profile.clip(0).tolist()
    return Piece((a, b, c, d), (first, middle, last))
