"""Pictures of ink from files: grey, ink bright on dark, square, of the size that the network reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from holdfast.errors import DataError
from holdfast.systems.inktrace.bezier import Floats


@dataclass(frozen=True)
class Frame:
    """Where a picture lies in the square that the network reads: in its middle, scaled to its longer side."""

    width: int
    height: int
    size: int

    @property
    def scale(self) -> float:
        """Pixels of the square for one of the picture."""
        return self.size / self.side

    @property
    def side(self) -> int:
        """The picture's longer side."""
        return max(self.width, self.height)

    @property
    def corner(self) -> tuple[int, int]:
        """How many of its own pixels lie left of and above the picture."""
        return (self.side - self.width) // 2, (self.side - self.height) // 2

    def into(self, places: Floats) -> Floats:
        """Gives places in the square for places in the picture [..., 2]."""
        return (places + self.corner) * self.scale

    def out_of(self, places: Floats) -> Floats:
        """Gives places in the picture for places in the square [..., 2]."""
        return places / self.scale - self.corner


def read_ink(path: Path, *, what: str) -> Floats:
    """Gives a picture as ink [H, W] from 0 to 1: how far each pixel is from the paper, which is what the border shows.

    On light paper ink is what is darker, on dark paper what is lighter.

    Args:
        path: The file.
        what: How an error begins, for example "`predict` must be given pictures, but".

    Raises:
        DataError: When it is no picture.
    """
    try:
        with Image.open(path) as image:
            grey = np.asarray(_grey(image), np.float32) / 255
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{what} {path} cannot be read ({reason}); leave it out.") from error
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    paper = float(np.median(border))
    return ((paper - grey) / paper if paper > 0.5 else (grey - paper) / (1 - paper)).clip(0, 1)


def framed(ink: Floats, size: int) -> tuple[Floats, Frame]:
    """Gives a picture [H, W] as a square [size, size], empty beside it, and where it lies there."""
    frame = Frame(ink.shape[1], ink.shape[0], size)
    square = np.zeros((frame.side, frame.side), np.float32)
    left, top = frame.corner
    square[top : top + frame.height, left : left + frame.width] = ink
    if frame.side == size:
        return square, frame
    # By area where it shrinks; enlarging by area would repeat pixels.
    how = Image.Resampling.BOX if frame.side > size else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(square).resize((size, size), how)), frame


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255 instead of scaling them
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:  # what is not there is paper
        whole = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("L")
    return image.convert("L")
