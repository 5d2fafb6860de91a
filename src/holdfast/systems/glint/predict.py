"""Prediction on pictures of the user's own: positions as JSON, and a picture of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from holdfast import durable
from holdfast.engine.system import device_of
from holdfast.errors import DataError
from holdfast.systems.glint.config import SIDE_MULTIPLE, GlintConfig
from holdfast.systems.glint.eye_file import HDF5_SUFFIXES, read_images
from holdfast.systems.glint.eye_images import Unreadable, pictures_in, read_grey, resized
from holdfast.systems.glint.peaks import Peaks, find_peaks
from holdfast.systems.glint.pictures import overlay, places


@dataclass(frozen=True)
class _Input:
    """One image to predict on."""

    source: str
    """What the record calls it."""
    name: str
    """What its picture is named after."""
    read: Callable[[], Image.Image]
    """Gives it in grey."""


def predict(
    config: GlintConfig, model: nn.Module, inputs: Sequence[Path], output_dir: Path
) -> Iterator[dict[str, Any]]:
    """Finds the glints in each image, writes a picture of them, and yields a record.

    Args:
        config: The configuration of the trained model.
        model: The trained model.
        inputs: Pictures, folders of pictures, or HDF5 files of eyes.
        output_dir: An existing folder; NAME_glints.png goes there.

    Yields:
        `input`, `picture` and `glints`: a list of `id`, `x`, `y` (in pixels of the image) and `confidence`.

    Raises:
        DataError: When something among the inputs is no image.
    """
    used: set[str] = set()
    for item in _images(config, inputs):
        image = item.read()
        peaks = _find(config, model, image)
        found = places(peaks, 0)
        path = output_dir / f"{_unused(item.name, used)}_glints.png"
        _save(overlay(image, predicted=found), path)
        confidence = peaks.confidence[0].tolist()
        glints = [
            {"id": f"g{glint + 1}", "x": round(x, 3), "y": round(y, 3), "confidence": round(confidence[glint], 4)}
            for glint, (x, y) in found.items()
        ]
        yield {"input": item.source, "picture": str(path), "glints": glints}


def _find(config: GlintConfig, model: nn.Module, image: Image.Image) -> Peaks:
    """Finds the glints of one image, in its own pixels."""
    width, height = _working_size(model, image)
    pixels = torch.from_numpy(np.array(resized(image, (width, height)), dtype=np.float32) / 255)
    with torch.no_grad():
        maps = torch.sigmoid(model(pixels[None, None].to(device_of(model))).float()).cpu()
    peaks = find_peaks(maps, stride=config.model.output_stride, threshold=config.detection.threshold)
    scale = torch.tensor([image.width / width, image.height / height])
    return peaks._replace(positions=(peaks.positions + 0.5) * scale - 0.5)


def _working_size(model: nn.Module, image: Image.Image) -> tuple[int, int]:
    """Gives width and height of what the model was trained on; the nearest possible ones if it never was."""
    height, width = model.get_buffer("image_size").tolist()
    if height:
        return width, height
    return _possible(image.width), _possible(image.height)


def _possible(side: int) -> int:
    return max(2, round(side / SIDE_MULTIPLE)) * SIDE_MULTIPLE


def _images(config: GlintConfig, inputs: Sequence[Path]) -> list[_Input]:
    """Lists all images, and says what is none before anything is predicted."""
    images = []
    for path in inputs:
        if path.is_dir():
            images += _in_folder(path)
        elif path.suffix in HDF5_SUFFIXES:
            images += _in_hdf5(path, config.data.images)
        else:
            images.append(_file(path))
    return images


def _in_folder(folder: Path) -> list[_Input]:
    paths = pictures_in(folder)
    if not paths:
        raise DataError(f"`predict` must be given pictures, but the folder {folder} holds none; name another one.")
    return [_file(path) for path in paths]


def _in_hdf5(path: Path, key: str) -> list[_Input]:
    names, images = read_images(path, key)
    return [
        _Input(f"{path}:{name}", name, partial(Image.fromarray, image))
        for name, image in zip(names, images, strict=True)
    ]


def _file(path: Path) -> _Input:
    # Read once before anything is written: a picture that was cut short shows it only at its end.
    try:
        read_grey(path)
    except Unreadable as reason:
        raise DataError(f"{path} must be a picture, but cannot be read ({reason}); leave it out.") from reason
    return _Input(str(path), path.stem, partial(read_grey, path))


def _unused(name: str, used: set[str]) -> str:
    """Gives the name, or NAME-2 and so on where two inputs have the same."""
    candidates = chain([name], (f"{name}-{number}" for number in count(2)))
    unused = next(candidate for candidate in candidates if candidate not in used)
    used.add(unused)
    return unused


def _save(picture: Image.Image, path: Path) -> None:
    content = io.BytesIO()
    picture.save(content, format="png")
    durable.write_file(path, content.getvalue())
