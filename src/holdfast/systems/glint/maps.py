"""Heat maps: one Gaussian for each glint that is there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def draw_maps(
    positions: ArrayLike, sigmas: ArrayLike, present: ArrayLike, *, size: tuple[int, int], stride: int
) -> NDArray[np.float16]:
    """Draws the maps of one image at their own resolution, so that every peak is near 1.

    Drawn as large as the image and then averaged, as packing scripts do it, a narrow Gaussian would lose its height.

    Args:
        positions: x and y of each glint [glints, 2] in pixels of the image, the centre of the first being (0, 0).
        sigmas: The width of each along x and y [glints, 2], in pixels of the image; cut off at three times that.
        present: Which of them are there [glints]; the other maps are empty.
        size: Height and width of the image.
        stride: Pixels of the image for one of a map.
    """
    places, widths = np.asarray(positions, float), np.asarray(sigmas, float)
    down, across = (
        (_centres(length, stride) - places[:, axis, None]) / widths[:, axis, None]
        for axis, length in ((1, size[0]), (0, size[1]))
    )
    maps = np.exp(-(down**2) / 2)[:, :, None] * np.exp(-(across**2) / 2)[:, None, :]
    maps[down[:, :, None] ** 2 + across[:, None, :] ** 2 > 9] = 0
    return (maps * np.asarray(present)[:, None, None]).astype(np.float16)


def _centres(length: int, stride: int) -> NDArray[Any]:
    """Gives where the pixels of a map lie in the image: each in the middle of those that it stands for."""
    return (np.arange(length // stride) + 0.5) * stride - 0.5
