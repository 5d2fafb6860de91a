"""Pictures of the user's own, as grey images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


class Unreadable(Exception):
    """Says why a picture cannot be read."""


def read_grey(source: Path | bytes) -> Image.Image:
    """Gives a picture, a file or the content of one, in grey and upright.

    Raises:
        Unreadable: When it cannot be read to its end.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255 instead of scaling them
                return Image.fromarray((np.array(image) >> 8).astype(np.uint8))
            return image.convert("L")
    except UnidentifiedImageError as error:
        raise Unreadable("no known format") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unreadable(str(error)) from error


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Gives a grey image with another width and height."""
    shrinks = image.width > size[0] and image.height > size[1]
    # By area, so that nothing is left out; enlarging by area would repeat pixels.
    return image.resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR)


def pictures_in(folder: Path) -> list[Path]:
    """Gives the pictures that lie in a folder, by their suffix, in order."""
    known = Image.registered_extensions()
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in known)
