"""`holdfast compare`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.checkpoint.comparison import Comparison, Moved

_MOST_ROWS = 20


def compare(
    *paths: str, checkpoint: str | None = None, system: str | None = None, exit_code: bool = False, json: bool = False
) -> int:
    """Compare two checkpoints: counters, metric, config, and how far every parameter has moved.

    Args:
        paths: Two checkpoints, ours or foreign, run folders, or runs' names (a run means its latest checkpoint).
        checkpoint: latest, best or a file, for both runs.
        system: Whose own old formats are known; those of all built-in systems by default.
        exit_code: End with 1 when they differ in anything but when and where they were written.
        json: Print one JSON document and nothing else.
    """
    from holdfast.checkpoint.comparison import compare_checkpoints
    from holdfast.checkpoint.layouts import read_any
    from holdfast.cli.checkpoints import layouts_of, locate
    from holdfast.cli.documents import print_json

    if len(paths) != 2:
        raise UserError(f"`compare` must be given two checkpoints, but got {len(paths)}; name two files or runs.")
    layouts = layouts_of(system)
    first, second = (read_any(locate(path, choice=checkpoint), layouts) for path in paths)
    found = compare_checkpoints(first, second)
    if json:
        print_json(found.as_dict())
    else:
        _print(found)
    return 1 if exit_code and not found.is_equal else 0


def _print(found: Comparison) -> None:
    from holdfast.cli.tables import print_columns, short

    for letter, path in zip("AB", found.paths, strict=True):
        print(f"{letter}  {path}")
    if found.is_equal:
        print("\nequal to the last bit, apart from when and where they were written")
        return
    if found.values:
        rows = [("", "A", "B", "")]
        rows += [
            (short(name), _text(one), _text(other), _gap(one, other)) for name, (one, other) in found.values.items()
        ]
        print()
        print_columns(rows, right=(1, 2, 3))
    if found.config:
        print(f"\nconfig: {_counted(len(found.config), 'setting')} differ")
        rows = [
            (short(key), short(_text(one), 24), short(_text(other), 24)) for key, (one, other) in _first(found.config)
        ]
        print_columns([("", "A", "B"), *rows])
        _print_rest(len(found.config))
    _print_weights(found)
    if found.parts:
        print("\nother parts that differ")
        rows = [(name, _counted(count, "value"), short(first, 60)) for name, (count, first) in found.parts.items()]
        print_columns(rows, right=(1,))


def _print_weights(found: Comparison) -> None:
    from holdfast.cli.tables import clean, print_columns, short

    moved = sorted((one for one in found.moved if one.changed), key=lambda one: -_rank(one))
    same = len(found.moved) - len(moved)
    if not found.moved and not found.reshaped and found.only == ((), ()):
        return
    print(f"\nparameters: {len(moved)} differ, {same} are the same to the last bit{_strangers(found)}")
    if moved:
        rows = [("", "shape", "norm A", "norm B", "distance", "relative", "changed")]
        rows += [
            (
                short(one.name, 36),
                str(list(one.shape)),
                f"{one.norm:.4g}",
                f"{one.other_norm:.4g}",
                f"{one.distance:.3g}",
                f"{100 * one.relative:.3g}%",
                f"{100 * one.changed:.3g}%" + (f", {one.not_finite} not finite" if one.not_finite else ""),
            )
            for one in moved[:_MOST_ROWS]
        ]
        print_columns(rows, right=(2, 3, 4, 5, 6))
        _print_rest(len(moved))
    for name, (one, other) in _first(found.reshaped):
        print(f"  {short(clean(name))}: {one} in A, {other} in B")
    for letter, names in zip("AB", found.only, strict=True):
        if names:
            more = f" and {len(names) - _MOST_ROWS} more" if len(names) > _MOST_ROWS else ""
            print(f"  only in {letter}: {', '.join(short(clean(name)) for name in names[:_MOST_ROWS])}{more}")


def _rank(one: Moved) -> float:
    return float("inf") if one.not_finite else one.relative


def _strangers(found: Comparison) -> str:
    counts = {
        "of another shape or type": len(found.reshaped),
        "only in A": len(found.only[0]),
        "only in B": len(found.only[1]),
    }
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def _first(pairs: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    yield from list(pairs.items())[:_MOST_ROWS]


def _print_rest(count: int) -> None:
    if count > _MOST_ROWS:
        print(f"  and {count - _MOST_ROWS} more (--json has all)")


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _gap(one: Any, other: Any) -> str:
    if isinstance(one, bool | str) or not isinstance(one, int | float) or not isinstance(other, int | float):
        return ""
    return f"{other - one:+.6g}" if other != one else ""
