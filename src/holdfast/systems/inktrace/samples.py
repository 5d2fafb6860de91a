"""A small generated data set in the format of real folders."""

from __future__ import annotations

from pathlib import Path

from holdfast import durable
from holdfast.errors import DataError
from holdfast.systems.inktrace.fields import draw_fields, draw_image
from holdfast.systems.inktrace.folder import write_sample
from holdfast.systems.inktrace.ink import Ink

_LEVELS = 7
"""The curriculum's levels that the samples take in turn: those that it has by default."""


def make_data(folder: Path, samples: int, seed: int, *, size: int = 64) -> str:
    """Writes drawings and their fields, of all levels in turn; says what it wrote.

    Raises:
        DataError: When there are pictures or fields in the folder already.
    """
    present = [path.name for path in folder.glob("*") if path.suffix in (".png", ".npz")]
    if present:
        raise DataError(
            f"`make-data` must write into a folder without pictures, but {folder / min(present)} exists; "
            "remove it or choose another folder."
        )
    durable.make_folder(folder)
    ink = Ink(seed, "inktrace data", size)
    for index in range(samples):
        paths = ink(0, index, level=index % _LEVELS)
        write_sample(folder, f"ink_{index:06}", draw_image(paths, size), draw_fields(paths, size))
    return f"wrote {samples} pictures of {size} x {size} pixels, each with its fields, to {folder}"
