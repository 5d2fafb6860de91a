"""Prediction on pictures of the user's own: the fields as pictures, and the strokes as SVG and JSON."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
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
from holdfast.systems.inktrace.bezier import Floats
from holdfast.systems.inktrace.config import InkTraceConfig
from holdfast.systems.inktrace.fields import draw_image
from holdfast.systems.inktrace.images import Frame, framed, read_ink
from holdfast.systems.inktrace.ink import Path as Stroke
from holdfast.systems.inktrace.ink import Piece
from holdfast.systems.inktrace.keypoints import peaks
from holdfast.systems.inktrace.model import InkNet
from holdfast.systems.inktrace.painting import Colours, paint_ink
from holdfast.systems.inktrace.pictures import as_arrays, grid, tiles_of
from holdfast.systems.inktrace.svg import to_svg
from holdfast.systems.inktrace.tracing import Traced, trace

_SCALE = 6
_WHAT = "`predict` must be given pictures, but"


def predict(
    config: InkTraceConfig, model: nn.Module, inputs: Sequence[Path], output_dir: Path
) -> Iterator[dict[str, Any]]:
    """Says what the strokes of each picture are, writes pictures of that and an SVG, and yields a record.

    Args:
        config: The configuration of the trained model.
        model: The trained model.
        inputs: Pictures or folders of pictures; dark ink on light paper or the other way round.
        output_dir: An existing folder; NAME_skeleton.png and so on, NAME_fields.png and NAME_strokes.svg go there.

    Yields:
        `input`; `picture` (the ink, all fields, and the strokes drawn anew); the path of each field's own picture, and
        of `svg`; and `strokes`: for each stroke its pieces, with four control `points` and three `widths`, in pixels
        of the picture.

    Raises:
        DataError: When something among the inputs is no picture.
    """
    assert isinstance(model, InkNet)
    used: set[str] = set()
    for path in _pictures(inputs):
        ink = read_ink(path, what=_WHAT)
        square, frame = framed(ink, config.data.img_size)
        fields = _said(model, square)
        traced = trace(_traced(fields, config))
        strokes = [_moved(stroke, frame) for stroke in traced]
        name = _unused(path.stem, used)
        tiles = tiles_of(fields, square)
        written = {field: _save(_cropped(tile, frame), output_dir / f"{name}_{field}.png") for field, tile in tiles}
        drawn = ("strokes", paint_ink(draw_image(traced, frame.size)[0]))
        row = grid([[("ink", paint_ink(square)), *tiles, drawn]], scale=_SCALE)
        picture = _save(row, output_dir / f"{name}_fields.png")
        svg = output_dir / f"{name}_strokes.svg"
        durable.write_file(svg, to_svg(strokes, width=frame.width, height=frame.height))
        yield {
            "input": str(path),
            "picture": picture,
            **written,
            "svg": str(svg),
            "strokes": [[_plain(piece) for piece in stroke] for stroke in strokes],
        }


def _said(model: InkNet, square: Floats) -> dict[str, Floats]:
    image = torch.from_numpy(square)[None, None].to(device_of(model))
    with torch.no_grad():
        return {name: field[0] for name, field in as_arrays(model.predict(image)).items()}


def _traced(fields: Mapping[str, Floats], config: InkTraceConfig) -> Traced:
    skeleton = fields["skeleton"][0] >= config.detection.skeleton
    if "keypoints" not in fields:
        return Traced(skeleton)
    anchors = peaks(torch.from_numpy(fields["keypoints"])[None, 1:], config.detection.keypoints)[0, 0].numpy()
    return Traced(skeleton, fields["offset"], fields["width"][0], anchors)


def _moved(stroke: Stroke, frame: Frame) -> Stroke:
    """Gives a stroke of the square in pixels of the picture."""
    return [
        Piece(
            tuple(map(tuple, frame.out_of(np.array(piece.points)).tolist())),  # pyright: ignore[reportArgumentType]
            tuple(width / frame.scale for width in piece.widths),  # pyright: ignore[reportArgumentType]
        )
        for piece in stroke
    ]


def _plain(piece: Piece) -> dict[str, Any]:
    return {
        "points": [[round(x, 3), round(y, 3)] for x, y in piece.points],
        "widths": [round(width, 3) for width in piece.widths],
    }


def _cropped(tile: Colours, frame: Frame) -> Colours:
    """Gives the part of a field's picture that shows the picture, enlarged."""
    large = tile.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
    corners = frame.into(np.array([[0.0, 0.0], [frame.width, frame.height]])) * _SCALE
    (left, top), (right, bottom) = corners.round().astype(int)
    return large[top:bottom, left:right]


def _pictures(inputs: Sequence[Path]) -> list[Path]:
    """Lists all pictures, and says what is none before anything is predicted."""
    known = Image.registered_extensions()
    paths: list[Path] = []
    for path in inputs:
        found = [path]
        if path.is_dir():
            found = sorted(child for child in path.iterdir() if child.suffix.lower() in known)
            if not found:
                raise DataError(f"{_WHAT} the folder {path} holds none; name another one.")
        paths += found
    for path in paths:
        read_ink(path, what=_WHAT)
    return paths


def _unused(name: str, used: set[str]) -> str:
    """Gives the name, or NAME-2 and so on where two inputs have the same."""
    candidates = chain([name], (f"{name}-{number}" for number in count(2)))
    unused = next(candidate for candidate in candidates if candidate not in used)
    used.add(unused)
    return unused


def _save(picture: Colours, path: Path) -> str:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format="png")
    durable.write_file(path, content.getvalue())
    return str(path)
