"""How much each control point of a Bezier curve counts along the way from its start (0) to its end (1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def cubic(steps: Floats) -> Floats:
    """Gives the shares of four control points [N, 4]."""
    rest = 1 - steps
    return np.stack([rest**3, 3 * rest**2 * steps, 3 * rest * steps**2, steps**3], axis=1)


def quadratic(steps: Floats) -> Floats:
    """Gives the shares of three [N, 3]; also of the three sides of a cubic's polygon, for a third of its slope."""
    rest = 1 - steps
    return np.stack([rest**2, 2 * rest * steps, steps**2], axis=1)
