"""A folder of pictures with their fields: NAME.png, and beside it NAME.npz with the five fields at its size.

skeleton [1, H, W] and keypoints [2, H, W] of 0 and 1; tangent [2, H, W], width [1, H, W] and offset [2, H, W] of
numbers (see `fields`). Pictures of another size than the network's are brought to it, the strokes drawn anew.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from holdfast.errors import DataError
from holdfast.systems.inktrace.bezier import Floats
from holdfast.systems.inktrace.fields import CHANNELS, WIDTH_UNIT, Fields, Trail, write_fields
from holdfast.systems.inktrace.images import Frame, framed, read_ink


class InkFolder:
    """The pictures of a folder by number, in the order of their names.

    Raises:
        DataError: When the folder or one of its files is not as it must be.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size
        self.names = _paired_names(path)
        sizes = []
        for name in self.names:
            image, fields = path / f"{name}.png", path / f"{name}.npz"
            _check_shapes(fields, _image_shape(image))
            sizes += [image.stat().st_size, fields.stat().st_size]
        self.fingerprint = hashlib.blake2b(f"{self.names}{sizes}".encode(), digest_size=8).hexdigest()
        """Something that differs when names or files do."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> tuple[Floats, Fields]:
        """Gives a picture [1, S, S] and its fields."""
        name = self.names[number]
        ink, frame = framed(read_ink(self.path / f"{name}.png", what="`data.path` must hold pictures, but"), self._size)
        fields = _read_fields(self.path / f"{name}.npz")
        return ink[None], fields if frame.width == frame.height == frame.size else resized(fields, frame)


def write_sample(folder: Path, name: str, image: Floats, fields: Fields) -> None:
    """Writes a picture [1, S, S] and its fields.

    Nothing waits for the disk: there are many such files, and who can write them can write them again.
    """
    whole = {key: field.astype(np.uint8) for key, field in fields._asdict().items() if key in ("skeleton", "keypoints")}
    np.savez_compressed(folder / f"{name}.npz", allow_pickle=False, **(fields._asdict() | whole))
    Image.fromarray((image[0] * 255).round().astype(np.uint8)).save(folder / f"{name}.png")


def resized(fields: Fields, frame: Frame) -> Fields:
    """Gives the fields of a picture as those of the square that it is framed in: its strokes are drawn there anew."""
    rows, columns = np.nonzero(fields.skeleton[0])
    centres = np.stack([columns, rows], axis=1) + 0.5
    cosine, sine = fields.tangent[:, rows, columns]
    angles = np.arctan2(sine, cosine) / 2
    # Along the stroke, a pixel of the picture may become several of the square: each sends out points both ways.
    count = 2 * int(np.ceil(frame.scale)) + 1
    along = np.linspace(-0.75, 0.75, count) if frame.scale > 1 else np.zeros(1)
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=1)[:, None] * along[:, None]
    places = (centres + fields.offset[:, rows, columns].T)[:, None] + steps
    # The points of the pixels themselves last, for they are the ones that were measured.
    order = np.argsort(-np.abs(along), kind="stable")
    trail = Trail(
        frame.into(places[:, order].swapaxes(0, 1).reshape(-1, 2)),
        np.tile(angles, len(along)),
        np.tile(fields.width[0, rows, columns] * WIDTH_UNIT * frame.scale, len(along)),
    )
    nodes, anchors = (frame.into(_centres(marks)) for marks in fields.keypoints)
    return write_fields(trail, nodes, anchors, frame.size)


def _centres(marks: Floats) -> Floats:
    rows, columns = np.nonzero(marks)
    return np.stack([columns, rows], axis=1) + 0.5


def _paired_names(path: Path) -> list[str]:
    if not path.is_dir():
        kind = "a file" if path.exists() else "nothing"
        raise DataError(
            f"`data.path` must be a folder of pictures with their fields, but {path} is {kind}; "
            "make one with `holdfast make-data inktrace DIR`, or leave the path out: ink is then generated."
        )
    images, fields = (
        {file.stem for file in path.iterdir() if file.suffix == suffix and not file.name.startswith(".")}
        for suffix in (".png", ".npz")
    )
    if not images:
        raise DataError(f"`data.path` must hold pictures (NAME.png, each with NAME.npz), but {path} has none.")
    if alone := sorted(images ^ fields):
        name = alone[0]
        has, lacks = ("png", "npz") if name in images else ("npz", "png")
        more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
        raise DataError(
            f"`data.path` must hold NAME.png and NAME.npz in pairs, but {path / name}.{has}{more} has no {lacks}; "
            "add it, or take the other away."
        )
    return sorted(images)


def _image_shape(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"`data.path` must hold pictures, but {path} is none; take it away with its .npz.") from error


def _check_shapes(path: Path, image: tuple[int, int]) -> None:
    """Checks the fields of a picture by their headers alone."""
    for name, channels in CHANNELS.items():
        shape = _stored_shape(path, name)
        if shape != (channels, *image):
            raise DataError(
                f"`{name}` in {path} must have the shape {(channels, *image)} (channels, and the picture's size), "
                f"but has {shape}; write it anew."
            )


def _stored_shape(path: Path, name: str) -> Sequence[int]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stored:
            version = np.lib.format.read_magic(stored)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return read(stored)[0]
    except KeyError as error:
        raise DataError(f"`{name}` must be in {path}, but is not; write the file anew.") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"`data.path` must hold NumPy archives, but {path} is none ({error}); write it anew."
        ) from error


def _read_fields(path: Path) -> Fields:
    try:
        with np.load(path, allow_pickle=False) as archive:
            fields = Fields(*(np.asarray(archive[name], np.float32) for name in CHANNELS))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"`data.path` must hold whole NumPy archives, but {path} is torn ({error}).") from error
    for name, field in fields._asdict().items():
        if not np.isfinite(field).all():
            raise DataError(f"`{name}` in {path} must hold finite numbers, but has others; write it anew.")
    return fields
