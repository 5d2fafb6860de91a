"""Strokes as a drawing that any browser or editor opens."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.systems.inktrace.ink import Path, Piece


def to_svg(paths: Sequence[Path], *, width: int, height: int) -> str:
    """Gives an SVG document of a picture's size: a group for each path, in it a curve for each piece.

    SVG has no strokes of changing width: each piece has the mean of its own.
    """
    groups = ["\n".join(["<g>", *map(_curve, path), "</g>"]) for path in paths]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    style = '<g fill="none" stroke="black" stroke-linecap="round" stroke-linejoin="round">'
    return "\n".join([head, style, *groups, "</g>", "</svg>", ""])


def _curve(piece: Piece) -> str:
    start, *others = (f"{x:.2f} {y:.2f}" for x, y in piece.points)
    return f'<path d="M {start} C {", ".join(others)}" stroke-width="{sum(piece.widths) / 3:.2f}"/>'
