"""The HDF5 file of eye images: opened lazily by each process, checked before anything is read from it.

images    uint8 [N, H, W]                          heatmaps  float [N, glints, H/stride, W/stride]
present   uint8 [N, glints], may be missing        stems     names, one per image, may be missing

Its attributes say the same in numbers (num_classes, img_h, img_w, hm_h, hm_w), how the maps were drawn (sigma_scale,
sigma_min) and how glints are labelled (prefix); they may be missing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from holdfast.errors import DataError
from holdfast.systems.glint.config import GlintData, GlintModel
from holdfast.systems.glint.eye_checks import check_file, check_images, check_range, check_there, dataset

HDF5_SUFFIXES = {".h5", ".hdf5"}

_FALLBACK = "masks"
_LOOKED_AT = 8
"""Rows that the fingerprint is made from, and that are checked where the file is not read as a whole."""
_BEGINNINGS = {
    b"PK\x03\x04": "a zip archive or a .pth checkpoint",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "a gzip file",
    b"version https://git-lfs": "a Git LFS pointer whose data was not fetched",
}


class Row(NamedTuple):
    """One image with its heat maps and which of them show a glint."""

    image: np.ndarray
    heatmaps: np.ndarray
    present: np.ndarray


@dataclass(frozen=True)
class _Arrays:
    """The contents, in memory or in the open file."""

    images: Any
    heatmaps: Any
    present: Any | None


class EyeFile:
    """The rows of one file, read from memory (`data.preload`) or one by one.

    It can be pickled and forked: each process opens the file for itself, when it first needs it. What was preloaded
    is shared with forked processes.

    Raises:
        DataError: When anything about the file is not as it must be.
    """

    def __init__(self, path: Path, data: GlintData, model: GlintModel) -> None:
        self.path = path
        self._preload = data.preload
        with open_hdf5(path) as file:
            self._keys = _find_keys(path, file, data)
            self._length = check_file(path, file, self._keys, model)
        self._process: int | None = None
        self._arrays: _Arrays | None = None
        if self._preload:
            self._arrays = self._in_memory()
        self.fingerprint = self._look()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Row:
        arrays = self._opened()
        heatmaps = arrays.heatmaps[index]
        if not self._preload:
            check_range(self.path, self._keys[1], heatmaps[None], [index])
        present = heatmaps.any(axis=(1, 2)) if arrays.present is None else arrays.present[index]
        return Row(arrays.images[index], heatmaps, present)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_arrays": None}

    def _opened(self) -> _Arrays:
        if self._arrays is None or (not self._preload and self._process != os.getpid()):
            # First lets go of a parent's open file: two processes would share one position in it.
            self._arrays = None
            self._arrays = self._in_memory() if self._preload else self._in(h5py.File(self.path, "r"))
            self._process = os.getpid()
        return self._arrays

    def _in_memory(self) -> _Arrays:
        with open_hdf5(self.path) as file:
            stored = self._in(file)
            present = None if stored.present is None else stored.present[:]
            arrays = _Arrays(stored.images[:], stored.heatmaps[:], present)
        check_range(self.path, self._keys[1], arrays.heatmaps, range(self._length))
        return arrays

    def _in(self, file: h5py.File) -> _Arrays:
        images, heatmaps = self._keys
        present = dataset(file, "present") if "present" in file else None
        return _Arrays(dataset(file, images), dataset(file, heatmaps), present)

    def _look(self) -> str:
        """Gives the fingerprint of what is in the file, however it is compressed: from some rows over all of it."""
        digest = hashlib.blake2b(digest_size=8)
        for index in np.linspace(0, self._length - 1, min(_LOOKED_AT, self._length)).astype(int).tolist():
            image, heatmaps, present = self[index]
            for part in (image, heatmaps.astype("<f4"), present.astype(np.uint8)):
                digest.update(part.tobytes())
        return digest.hexdigest()


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """Opens an HDF5 file for reading.

    Raises:
        DataError: When it cannot be read, or is something else; says what it looks like.
    """
    try:
        with path.open("rb") as stream:
            beginning = stream.read(64)
    except OSError as error:
        raise DataError(
            f"`data.path` must be a file that can be read, but got {path} ({error.strerror}); look at its permissions."
        ) from error
    if not h5py.is_hdf5(path):
        raise DataError(
            f"`data.path` must be an HDF5 file, but {path} looks like {_look_of(beginning)}; name another file."
        )
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"`data.path` must be a whole HDF5 file, but {path} cannot be read ({reason}); copy or make it anew."
        ) from error


def read_images(path: Path, key: str) -> tuple[list[str], np.ndarray]:
    """Gives the names and the images of a file whose heat maps do not matter.

    Raises:
        DataError: When it holds no images.
    """
    with open_hdf5(path) as file:
        check_there(path, file, [key])
        images = dataset(file, key)
        check_images(path, images)
        numbered = [f"{path.stem}_{row}" for row in range(len(images))]
        stems = dataset(file, "stems").asstr()[:] if "stems" in file else numbered
        # A name becomes the name of a picture.
        return [Path(str(stem)).name for stem in stems], images[:]


def _look_of(beginning: bytes) -> str:
    if not beginning:
        return "an empty file"
    for magic, name in _BEGINNINGS.items():
        if beginning.startswith(magic):
            return name
    return "text" if beginning.isascii() and b"\0" not in beginning else "something else"


def _find_keys(path: Path, file: h5py.File, data: GlintData) -> tuple[str, str]:
    heatmaps = data.heatmaps if data.heatmaps in file or _FALLBACK not in file else _FALLBACK
    check_there(path, file, [data.images, heatmaps])
    return data.images, heatmaps
