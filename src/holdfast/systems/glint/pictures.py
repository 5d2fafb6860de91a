"""Pictures of eyes with their glints: true ones as circles, predicted ones as crosses, coloured by identity."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from holdfast.systems.glint.config import GlintConfig
from holdfast.systems.glint.peaks import Peaks, find_peaks

_READABLE = 384
"""Height, in pixels, up to which a picture of one eye is enlarged."""
_IN_GRID = 288
_COLUMNS, _ROWS = 4, 2
_GAP = 6


def build_pictures(config: GlintConfig, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gives one picture, `Glints`: the first eyes of a batch with their true and their predicted glints."""
    shown = slice(_COLUMNS * _ROWS)
    images, stride = batch["image"][shown], config.model.output_stride
    predicted = find_peaks(torch.sigmoid(model(images).float()), stride=stride, threshold=config.detection.threshold)
    true = find_peaks(batch["heatmap"][shown], stride=stride, threshold=0.0)
    exists = true.found & batch["present"][shown]
    eyes = [
        overlay(
            Image.fromarray((image[0].cpu().numpy() * 255).round().astype(np.uint8)),
            predicted=places(predicted, number),
            true=places(true._replace(found=exists), number),
            height=_IN_GRID,
        )
        for number, image in enumerate(images)
    ]
    return {"Glints": torch.from_numpy(np.array(_grid(eyes)))}


def places(peaks: Peaks, number: int) -> dict[int, tuple[float, float]]:
    """Gives x and y of the glints that were found in one image of a batch, by the number of the glint from 0."""
    positions, found = peaks.positions[number].tolist(), peaks.found[number].tolist()
    return {glint: (x, y) for glint, ((x, y), is_there) in enumerate(zip(positions, found, strict=True)) if is_there}


def overlay(
    image: Image.Image,
    *,
    predicted: Mapping[int, tuple[float, float]],
    true: Mapping[int, tuple[float, float]] | None = None,
    height: int = _READABLE,
) -> Image.Image:
    """Gives the image in colour, enlarged to be readable, with a cross or a circle at each glint."""
    scale = max(1, round(height / image.height))
    picture = image.convert("RGB").resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    # Lines are drawn at twice the size and averaged, for Pillow draws them with hard edges.
    double = picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST)
    pen = _Pen(double, scale=2 * scale, reach=max(6.0, 0.022 * picture.height) * 2)
    for glint, place in (true or {}).items():
        pen.circle(glint, place)
    for glint, place in predicted.items():
        pen.cross(glint, place)
    for glint, place in {**(true or {}), **predicted}.items():
        pen.label(glint, place)
    return double.resize(picture.size, Image.Resampling.BOX)


class _Pen:
    """Draws at positions given in pixels of the image before it was enlarged."""

    def __init__(self, picture: Image.Image, *, scale: int, reach: float) -> None:
        self._draw = ImageDraw.Draw(picture)
        self._size = picture.size
        self._scale = scale
        self._reach = reach
        self._width = max(2, round(reach / 4))
        self._font = ImageFont.load_default(size=round(1.7 * reach))

    def circle(self, glint: int, place: tuple[float, float]) -> None:
        x, y = self._at(place)
        reach = 1.3 * self._reach
        self._draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour(glint), width=self._width)

    def cross(self, glint: int, place: tuple[float, float]) -> None:
        """Draws a cross that is open in its middle, so that one sees what lies there."""
        x, y = self._at(place)
        near, far = 0.45 * self._reach, 1.2 * self._reach
        for right, down in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            ends = (x + right * near, y + down * near, x + right * far, y + down * far)
            self._draw.line(ends, fill=colour(glint), width=self._width)

    def label(self, glint: int, place: tuple[float, float]) -> None:
        x, y = self._at(place)
        right = x + 1.6 * self._reach
        # Left of the cross where the right has no room.
        at, anchor = (right, "lm") if right + 3 * self._reach < self._size[0] else (x - 1.6 * self._reach, "rm")
        edge = round(self._reach / 6)
        self._draw.text(
            (at, y),
            f"g{glint + 1}",
            font=self._font,
            anchor=anchor,
            fill=colour(glint),
            stroke_width=edge,
            stroke_fill=0,
        )

    def _at(self, place: tuple[float, float]) -> tuple[float, float]:
        return (place[0] + 0.5) * self._scale, (place[1] + 0.5) * self._scale


def colour(glint: int) -> tuple[int, int, int]:
    """Gives the colour of a glint; eight that differ well on grey, then the same again."""
    red, green, blue = colorsys.hsv_to_rgb(glint % 8 / 8, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _grid(eyes: list[Image.Image]) -> Image.Image:
    width, height = eyes[0].size
    columns = min(_COLUMNS, len(eyes))
    rows = -(-len(eyes) // columns)
    size = (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP)
    grid = Image.new("RGB", size, "white")
    for number, eye in enumerate(eyes):
        row, column = divmod(number, columns)
        grid.paste(eye, (column * (width + _GAP), row * (height + _GAP)))
    return grid
