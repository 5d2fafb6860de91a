"""Labelme files: which glints of a picture are where.

    imagePath, imageHeight, imageWidth, shapes: [{label: "g1", shape_type: "circle", points: [[x, y], [x, y]]}, ...]

The first point of a circle is its centre, the second lies on it. Labelme counts from the edge of the picture, so that
the middle of the first pixel is (0.5, 0.5); everywhere else here it is (0, 0).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from holdfast.errors import DataError

ADVICE = ", or leave out what is bad by --bad skip."
"""How every message about a file ends, where it can be left out."""


@dataclass(frozen=True)
class Annotation:
    """What a Labelme file says."""

    path: Path
    picture: Path | bytes
    """The file of the picture, or its content where the Labelme file holds it."""
    said_size: tuple[int, int] | None
    """Width and height of the picture, where the Labelme file says them."""
    circles: Mapping[int, tuple[float, float, float]]
    """x, y and radius by the number of the glint, from 0."""
    ignored: Sequence[str]
    """Shapes that are no glints, as `polygon pupil`."""


class _Refused(Exception):
    """Says what is wrong with one file."""


def read_annotation(path: Path, *, num_glints: int, prefix: str, ignore: Sequence[str], empty: bool) -> Annotation:
    """Reads and checks a Labelme file.

    Args:
        path: The file.
        num_glints: How many glints there are; they are called PREFIX1 to PREFIXn.
        prefix: See above.
        ignore: Labels of circles that are no glints.
        empty: Whether a file without a glint is fine.

    Raises:
        DataError: When something about it is not as it must be; names the file and the shape.
    """
    try:
        document = _document(path)
        circles: dict[int, tuple[float, float, float]] = {}
        ignored: list[str] = []
        for number, shape in enumerate(_shapes(document), start=1):
            try:
                glint = _glint(shape, num_glints=num_glints, prefix=prefix, ignore=ignore)
                if glint is None:
                    ignored.append(f"{shape['shape_type']} {shape['label']}")
                elif glint in circles:
                    raise _Refused(f"`{shape['label']}` must be there once, but this is the second one; remove one")
                else:
                    circles[glint] = _circle(shape)
            except _Refused as reason:
                raise _Refused(f"shape {number}: {reason}") from reason
        if not circles and not empty:
            raise _Refused("`shapes` must hold a circle, but there is none; keep such eyes by --empty keep")
        return Annotation(path, _picture(path, document), _said_size(document), circles, ignored)
    except _Refused as reason:
        raise DataError(f"{path}: {reason}{ADVICE}") from reason


def labelme_document(
    picture: str, size: tuple[int, int], circles: Mapping[str, tuple[float, float, float]]
) -> dict[str, Any]:
    """Gives what a Labelme file must say of a picture.

    Args:
        picture: Its file, as seen from the Labelme file.
        size: Its width and height.
        circles: x, y and radius by label; the middle of the first pixel is (0, 0).
    """
    shapes = [
        {
            "label": label,
            "points": [[x + 0.5, y + 0.5], [x + 0.5 + radius, y + 0.5]],
            "group_id": None,
            "shape_type": "circle",
            "flags": {},
        }
        for label, (x, y, radius) in circles.items()
    ]
    document: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": picture}
    return document | {"imageData": None, "imageHeight": size[1], "imageWidth": size[0]}


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise _Refused(f"it must be a file that can be read, but got {error.strerror}; look at it") from error
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise _Refused(f"it must be a JSON document, but is none ({reason}); write it anew") from error
    if not isinstance(document, dict) or "shapes" not in document:
        raise _Refused("it must be a Labelme file, but has no `shapes`; move it elsewhere")
    return document


def _shapes(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    shapes = document["shapes"]
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise _Refused("`shapes` must be a list of shapes, but is something else; write it anew")
    # Labelme's first versions knew nothing but polygons, and did not say so.
    return [{"label": "", "shape_type": "polygon", **shape} for shape in shapes]


def _glint(shape: Mapping[str, Any], *, num_glints: int, prefix: str, ignore: Sequence[str]) -> int | None:
    """Gives the number, from 0, of the glint that a shape means; None when it means none."""
    label, kind = shape["label"], shape["shape_type"]
    match = re.fullmatch(rf"{re.escape(prefix)}([1-9][0-9]*)", str(label))
    is_glint = match is not None and int(match[1]) <= num_glints
    if not is_glint and (kind != "circle" or label in ignore):
        return None
    if not is_glint:
        raise _Refused(
            f"the label of a circle must be {prefix}1 to {prefix}{num_glints}, but is {label!r}; "
            f"rename it, or ignore that label by --ignore {label}"
        )
    if kind != "circle":
        raise _Refused(f"`{label}` must be a circle, but is a {kind}; draw it as a circle")
    assert match is not None
    return int(match[1]) - 1


def _circle(shape: Mapping[str, Any]) -> tuple[float, float, float]:
    """Gives x, y and radius, the middle of the first pixel being (0, 0)."""
    label, points = shape["label"], shape.get("points")
    try:
        (x, y), (edge_x, edge_y) = ((float(x), float(y)) for x, y in points)  # pyright: ignore[reportOptionalIterable]
    except (TypeError, ValueError) as error:
        raise _Refused(f"`{label}` must have two points, x and y each, but got {points!r}; draw it anew") from error
    if not all(map(math.isfinite, (x, y, edge_x, edge_y))):
        raise _Refused(f"`{label}` must lie at finite places, but got {points!r}; draw it anew")
    return x - 0.5, y - 0.5, math.hypot(edge_x - x, edge_y - y)


def _picture(path: Path, document: Mapping[str, Any]) -> Path | bytes:
    """Gives the picture: where the file says, else of the same name beside it, else as the file itself holds it."""
    said = document.get("imagePath")
    if isinstance(said, str) and said:
        # Written on Windows, the path has backslashes; on other systems they would be part of a name.
        for candidate in (path.parent / said, path.parent / PureWindowsPath(said).as_posix()):
            if candidate.is_file():
                return candidate
        beside = path.with_suffix(Path(PureWindowsPath(said).name).suffix)
        if beside != path and beside.is_file():
            return beside
    content = document.get("imageData")
    if isinstance(content, str) and content:
        try:
            return base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise _Refused(f"`imageData` must be a picture in base64, but is none ({error}); write it anew") from error
    raise _Refused(f"`imagePath` must name a picture, but there is no {said!r}; bring it back")


def _said_size(document: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = document.get("imageWidth"), document.get("imageHeight")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None
