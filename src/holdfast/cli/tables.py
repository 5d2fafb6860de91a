"""Lines and columns that fit a screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 100
_NAME = 44


def print_fields(fields: Iterable[tuple[str, str]], *, width: int = 12) -> None:
    """Prints a name and a text on each line; long texts go on below themselves."""
    for name, text in fields:
        lead = f"{name:<{width}} "
        below = " " * len(lead)
        lines = textwrap.wrap(clean(text), WIDTH, initial_indent=lead, subsequent_indent=below, break_on_hyphens=False)
        print("\n".join(lines))


def print_columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> None:
    """Prints rows in columns as wide as their longest entry.

    Args:
        rows: As many texts in each.
        right: The numbers of the columns whose texts stand at the right.
        indent: Goes before each row.
    """
    rows = [[clean(text) for text in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print((indent + "  ".join(cells)).rstrip())


def clean(text: str) -> str:
    """Gives text out of a file without characters that would do something to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def short(text: str, width: int = _NAME) -> str:
    """Gives a text that is at most so wide, without its middle where it is longer: names end in what they mean."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def size_text(count: float) -> str:
    """Gives `864 B`, `3.6 kB`, `475 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def count_text(count: int, thing: str) -> str:
    """Gives `1 tensor` or `1,204 tensors`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
