"""`holdfast import`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.checkpoint.layouts import Translated

_MOST_LEFT = 8


def import_foreign(
    foreign: str,
    out: str,
    /,
    *,
    epoch: int | None = None,
    step: int | None = None,
    samples: int | None = None,
    system: str | None = None,
    overwrite: bool = False,
) -> int:
    """Turn a foreign checkpoint into one of ours; nothing that it holds is run.

    Says what was taken, what such a checkpoint never holds, and what was left.

    Args:
        foreign: A checkpoint that something else wrote: a file, or a folder of Hugging Face or Accelerate.
        out: The new checkpoint, .pth.
        epoch: How many epochs are done, where the file does not say so, or means its number in another way.
        step: How many steps are done, likewise.
        samples: How many samples they used, likewise.
        system: Whose own old formats are known; those of all built-in systems by default.
        overwrite: Replace a file that has this name.
    """
    from holdfast.checkpoint.exporting import TORCH, check_target, import_checkpoint
    from holdfast.checkpoint.layouts import read_any
    from holdfast.checkpoint.layouts.native import Native
    from holdfast.cli.checkpoints import layouts_of
    from holdfast.cli.tables import print_fields, size_text

    target = Path(out).expanduser()
    check_target(target, kinds=TORCH, overwrite=overwrite)
    given = {"epoch": epoch, "step": step, "samples": samples}
    counters = {name: count for name, count in given.items() if count is not None}
    for name, count in counters.items():
        if count < 0:
            raise UserError(f"`--{name}` must be a count from 0 on, but got {count}.")
    found = read_any(foreign, layouts_of(system))
    if found.layout == Native.name:
        raise UserError(f"`{foreign}` must be a foreign checkpoint, but got one of ours; use it as it is.")
    import_checkpoint(found, target, counters=counters)
    print_fields(_fields(found, {**found.state, **counters}))
    print(f"\n{target}: {size_text(target.stat().st_size)}")
    return 0


def _fields(found: Translated, state: dict[str, Any]) -> Iterator[tuple[str, str]]:
    counts = ", ".join(f"{name} {state[name]}" for name in ("epoch", "step", "samples") if name in state)
    yield "layout", f"{found.layout} ({found.path})"
    yield "done", counts or "it does not say: begins at 0"
    yield "taken", ", ".join(name for name, value in found.state.items() if value is not None)
    for note in found.notes:
        yield "note", note
    absent = [part for part in found.absent if part not in state]
    if absent:
        yield "never there", f"{', '.join(absent)} (they begin anew)"
    missing = [part for part in found.missing if part not in state]
    if missing:
        yield "missing", f"{', '.join(missing)} (such checkpoints can hold them; this one does not)"
    for one in found.left[:_MOST_LEFT]:
        yield "not taken", f"{one.name}: {one.why}"
    if len(found.left) > _MOST_LEFT:
        yield "not taken", f"and {len(found.left) - _MOST_LEFT} more (see `holdfast inspect`)"
