"""The HDF5 file of eye images, checked as a whole before anything is read from it.

images    uint8 [N, H, W]                          heatmaps  float [N, glints, H/stride, W/stride]
present   uint8 [N, glints], may be missing        stems     names, one per image, may be missing
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from holdfast.errors import DataError
from holdfast.systems.glint.config import SIDE_MULTIPLE, GlintData, GlintModel

HDF5_SUFFIXES = {".h5", ".hdf5"}

_FALLBACK = "masks"
_SMALLEST_SIDE = 2 * SIDE_MULTIPLE  # with one pixel at the bottom, normalising a batch of one image would fail
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
            self._length = _check(path, file, self._keys, model)
        self._process: int | None = None
        self._arrays: _Arrays | None = None
        if self._preload:
            self._arrays = self._in_memory()

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Row:
        arrays = self._opened()
        heatmaps = arrays.heatmaps[index]
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
            return _Arrays(stored.images[:], stored.heatmaps[:], present)

    def _in(self, file: h5py.File) -> _Arrays:
        images, heatmaps = self._keys
        present = _dataset(file, "present") if "present" in file else None
        return _Arrays(_dataset(file, images), _dataset(file, heatmaps), present)


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
            f"`data.path` must be an HDF5 file, but {path} looks like {_look(beginning)}; name another file."
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
        _check_there(path, file, [key])
        images = _dataset(file, key)
        _check_images(path, images)
        numbered = [f"{path.stem}_{row}" for row in range(len(images))]
        stems = _dataset(file, "stems").asstr()[:] if "stems" in file else numbered
        # A name becomes the name of a picture.
        return [Path(str(stem)).name for stem in stems], images[:]


def _look(beginning: bytes) -> str:
    if not beginning:
        return "an empty file"
    for magic, name in _BEGINNINGS.items():
        if beginning.startswith(magic):
            return name
    return "text" if beginning.isascii() and b"\0" not in beginning else "something else"


def _find_keys(path: Path, file: h5py.File, data: GlintData) -> tuple[str, str]:
    heatmaps = data.heatmaps if data.heatmaps in file or _FALLBACK not in file else _FALLBACK
    _check_there(path, file, [data.images, heatmaps])
    return data.images, heatmaps


def _check_there(path: Path, file: h5py.File, keys: list[str]) -> None:
    missing = [key for key in keys if not isinstance(file.get(key), h5py.Dataset)]
    if missing:
        raise DataError(
            f"{path} must hold {' and '.join(f'`{key}`' for key in missing)}, but it holds "
            f"{', '.join(file.keys()) or 'nothing'}; set `data.images` and `data.heatmaps` to the keys in the file."
        )


def _check(path: Path, file: h5py.File, keys: tuple[str, str], model: GlintModel) -> int:
    """Gives the number of images, after everything that can be known without reading them all has been checked."""
    images, heatmaps = (_dataset(file, key) for key in keys)
    _check_images(path, images)
    is_float = np.issubdtype(heatmaps.dtype, np.floating)
    _check_kind(path, heatmaps, "float [N, glints, h, w]", good=heatmaps.ndim == 4 and is_float)
    count, height, width = images.shape
    if len(heatmaps) != count:
        raise DataError(
            f"{path} must hold as many heat maps as images, but `{keys[0]}` has {count} and `{keys[1]}` "
            f"{len(heatmaps)}; make the file anew."
        )
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE or min(height, width) < _SMALLEST_SIDE:
        raise DataError(
            f"`{keys[0]}` in {path} must have sides that are multiples of {SIDE_MULTIPLE}, {_SMALLEST_SIDE} or more, "
            f"but got {height} x {width}; resize the images, for the network halves them four times."
        )
    _check_maps(path, keys, heatmaps.shape, (height, width), model)
    first = heatmaps[0]
    if not (first.min() >= 0 and first.max() <= 1):
        raise DataError(
            f"`{keys[1]}` in {path} must be from 0 to 1, but the first goes from {first.min():g} to {first.max():g}; "
            "divide the maps by their largest value."
        )
    if "present" in file and (present := _dataset(file, "present")).shape != heatmaps.shape[:2]:
        raise DataError(
            f"`present` in {path} must be [{count}, {model.num_glints}], but got {list(present.shape)}; "
            "make the file anew."
        )
    return count


def _check_images(path: Path, images: h5py.Dataset) -> None:
    _check_kind(path, images, "uint8 [N, H, W]", good=images.ndim == 3 and images.dtype == np.uint8)
    if len(images) == 0:
        raise DataError(f"`{_name(images)}` in {path} must hold images, but it is empty; name another file.")


def _check_kind(path: Path, dataset: h5py.Dataset, wanted: str, *, good: bool) -> None:
    if not good:
        raise DataError(
            f"`{_name(dataset)}` in {path} must be {wanted}, but got {dataset.dtype} {list(dataset.shape)}; "
            "make the file anew or name another key."
        )


def _check_maps(
    path: Path, keys: tuple[str, str], shape: tuple[int, ...], side: tuple[int, int], model: GlintModel
) -> None:
    if shape[1] != model.num_glints:
        raise DataError(
            f"`{keys[1]}` in {path} must have one map for each of {model.num_glints} glints, but got {shape[1]}; "
            f"set `model.num_glints` to {shape[1]}."
        )
    wanted = tuple(length // model.output_stride for length in side)
    if shape[2:] == wanted:
        return
    fitting = [stride for stride in (1, 2, 4) if shape[2:] == tuple(length // stride for length in side)]
    advice = f"set `model.output_stride` to {fitting[0]}" if fitting else "make the file anew"
    raise DataError(
        f"`{keys[1]}` in {path} must be {wanted[0]} x {wanted[1]} for images of {side[0]} x {side[1]} and "
        f"`model.output_stride` {model.output_stride}, but got {shape[2]} x {shape[3]}; {advice}."
    )


def _name(dataset: h5py.Dataset) -> str:
    return str(dataset.name).lstrip("/")


def _dataset(file: h5py.File, key: str) -> h5py.Dataset:
    dataset = file[key]
    assert isinstance(dataset, h5py.Dataset), f"{key} is a {type(dataset).__name__}"
    return dataset
