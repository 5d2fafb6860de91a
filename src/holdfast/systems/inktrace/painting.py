"""Fields as pictures: bright on dark, uint8 [S, S, 3]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.systems.inktrace.bezier import Floats
from holdfast.systems.inktrace.fields import WIDTH_UNIT

Colours = NDArray[np.uint8]

WIDEST = 5.0
"""Pixels of a stroke's width that have the last colour of the scale."""

# Node, anchor: orange and blue, which differ for nearly every eye.
_NODE, _ANCHOR = np.array([1.0, 0.55, 0.1]), np.array([0.25, 0.65, 1.0])
# From narrow to wide: violet, green, yellow, growing lighter.
_SCALE = np.array([[0.40, 0.20, 0.65], [0.15, 0.60, 0.55], [0.99, 0.91, 0.20]])
_BACKDROP = 0.35
"""How bright the ink is behind what is drawn over it."""


def paint_ink(ink: Floats) -> Colours:
    """Gives ink [S, S] in white."""
    return _bytes(np.repeat(ink[..., None], 3, axis=2))


def paint_skeleton(chance: Floats) -> Colours:
    """Gives the chance of the skeleton [S, S] in white."""
    return paint_ink(chance)


def paint_keypoints(chances: Floats, ink: Floats) -> Colours:
    """Gives key points [2, S, S] over the ink: nodes in orange, anchors in blue."""
    picture = np.repeat(_BACKDROP * ink[..., None], 3, axis=2)
    for chance, colour in zip(chances[..., None], (_NODE, _ANCHOR), strict=True):
        picture = picture * (1 - chance) + colour * chance
    return _bytes(picture)


def paint_tangent(tangent: Floats, chance: Floats) -> Colours:
    """Gives directions [2, S, S] as hues, as bright as the skeleton [S, S] is likely: red is level, cyan upright."""
    turn = np.arctan2(tangent[1], tangent[0]) / (2 * np.pi)
    shades = np.abs((turn[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    return _bytes(shades.clip(0, 1) * chance[..., None])


def paint_width(width: Floats, chance: Floats) -> Colours:
    """Gives widths [S, S] on a scale from violet (0) to yellow (5 pixels), as bright as the skeleton is likely."""
    place = (width * WIDTH_UNIT / WIDEST).clip(0, 1) * (len(_SCALE) - 1)
    lower = np.minimum(place.astype(np.int64), len(_SCALE) - 2)
    rest = (place - lower)[..., None]
    return _bytes((_SCALE[lower] * (1 - rest) + _SCALE[lower + 1] * rest) * chance[..., None])


def _bytes(picture: NDArray[np.floating]) -> Colours:
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)
