"""Whether an HDF5 file of eyes is what it must be, with what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from holdfast.errors import DataError
from holdfast.systems.glint.config import SIDE_MULTIPLE, SMALLEST_SIDE, GlintModel

_STRIDES = (1, 2, 4)


def dataset(file: h5py.File, key: str) -> h5py.Dataset:
    """Gives an array of an open file that is known to be there."""
    found = file[key]
    assert isinstance(found, h5py.Dataset), f"{key} is a {type(found).__name__}"
    return found


def check_there(path: Path, file: h5py.File, keys: Sequence[str]) -> None:
    """Refuses a file without these keys, and names those that it has."""
    missing = [key for key in keys if not isinstance(file.get(key), h5py.Dataset)]
    if missing:
        there: list[str] = []
        file.visititems(lambda name, item: there.append(name) if isinstance(item, h5py.Dataset) else None)
        raise DataError(
            f"{path} must hold {' and '.join(f'`{key}`' for key in missing)}, but it holds "
            f"{', '.join(there) or 'nothing'}; set `data.images` and `data.heatmaps` to the keys in the file."
        )


def check_file(path: Path, file: h5py.File, keys: tuple[str, str], model: GlintModel) -> int:
    """Gives the number of images, after everything that can be known without reading them has been checked."""
    images, heatmaps = (dataset(file, key) for key in keys)
    check_images(path, images)
    is_float = heatmaps.dtype.kind == "f" and heatmaps.dtype.itemsize <= 8
    _check_kind(path, heatmaps, "float [N, glints, h, w]", good=heatmaps.ndim == 4 and is_float)
    count, height, width = images.shape
    if len(heatmaps) != count:
        raise DataError(
            f"{path} must hold as many heat maps as images, but `{keys[0]}` has {count} and `{keys[1]}` "
            f"{len(heatmaps)}; make the file anew."
        )
    if height % SIDE_MULTIPLE or width % SIDE_MULTIPLE or min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"`{keys[0]}` in {path} must have sides that are multiples of {SIDE_MULTIPLE}, {SMALLEST_SIDE} or more, "
            f"but got {height} x {width}; resize the images, for the network halves them four times."
        )
    _check_maps(path, keys, heatmaps.shape, (height, width), model)
    _check_attributes(path, file, images.shape, heatmaps.shape)
    if "present" in file:
        _check_present(path, dataset(file, "present"), heatmaps.shape[:2])
    return count


def check_images(path: Path, images: h5py.Dataset) -> None:
    """Refuses images that are no grey images, or none."""
    _check_kind(path, images, "uint8 [N, H, W]", good=images.ndim == 3 and images.dtype == np.uint8)
    if len(images) == 0:
        raise DataError(f"`{_name(images)}` in {path} must hold images, but it is empty; name another file.")


def check_range(path: Path, key: str, maps: NDArray[Any], rows: Sequence[int]) -> None:
    """Refuses heat maps with values outside of 0 to 1, and names the row.

    Args:
        path: The file.
        key: The key of the maps in it.
        maps: Some of them [n, glints, h, w].
        rows: Which rows of the file these are.
    """
    # Floats from 0 to 1 sort as their bits do, and all others lie above: thirty times faster than comparing halves.
    bits = np.dtype(f"{maps.dtype.byteorder}u{maps.dtype.itemsize}")
    if not maps.size or (maps.view(bits) <= np.ones(1, maps.dtype).view(bits)).all():
        return
    for row, one in zip(rows, maps, strict=True):
        low, high = one.min(), one.max()
        if not (low >= 0 and high <= 1):  # not a number is neither
            raise DataError(
                f"`{key}` in {path} must be from 0 to 1, but row {row} goes from {low:g} to {high:g}; "
                "divide the maps by their largest value."
            )


def _check_kind(path: Path, found: h5py.Dataset, wanted: str, *, good: bool) -> None:
    if not good:
        raise DataError(
            f"`{_name(found)}` in {path} must be {wanted}, but got {found.dtype} {list(found.shape)}; "
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
    fitting = [stride for stride in _STRIDES if shape[2:] == tuple(length // stride for length in side)]
    # Finer maps than the network's are averaged when they are read.
    if fitting and fitting[0] <= model.output_stride:
        return
    wanted = tuple(length // model.output_stride for length in side)
    advice = f"set `model.output_stride` to {fitting[0]}" if fitting else "make the file anew"
    raise DataError(
        f"`{keys[1]}` in {path} must be {wanted[0]} x {wanted[1]} for images of {side[0]} x {side[1]} and "
        f"`model.output_stride` {model.output_stride}, but got {shape[2]} x {shape[3]}; {advice}."
    )


def _check_attributes(path: Path, file: h5py.File, images: tuple[int, ...], maps: tuple[int, ...]) -> None:
    """Refuses a file whose attributes say something else than its arrays: one of the two is of another file."""
    shapes = {
        "num_classes": maps[1],
        "img_h": images[1],
        "img_w": images[2],
        "hm_h": maps[2],
        "hm_w": maps[3],
    }
    for name, length in shapes.items():
        said = file.attrs.get(name, length)
        if not np.array_equal(said, length):
            raise DataError(
                f"the attribute `{name}` of {path} must say {length} as its arrays do, but says {said}; "
                "make the file anew."
            )


def _check_present(path: Path, present: h5py.Dataset, shape: tuple[int, ...]) -> None:
    if present.shape != shape or present.dtype.kind not in "biu":
        raise DataError(
            f"`present` in {path} must be whole numbers {list(shape)}, but got {present.dtype} {list(present.shape)}; "
            "make the file anew."
        )
    values = present[:]
    if not np.isin(values, (0, 1)).all():
        row = int(np.argmax(~np.isin(values, (0, 1)).all(axis=1)))
        raise DataError(
            f"`present` in {path} must be 0 or 1, but row {row} has {', '.join(map(str, values[row]))}; "
            "make the file anew."
        )


def _name(found: h5py.Dataset) -> str:
    return str(found.name).lstrip("/")
