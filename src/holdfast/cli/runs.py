"""`holdfast runs`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.run.find import RunSummary


def runs(root: str | None = None, /, *, json: bool = False) -> int:
    """List runs: status, progress, best metric, last checkpoint, size, age.

    Args:
        root: The folder to look in; by default HOLDFAST_RUNS, runs/, results/ and outputs/.
        json: Print one JSON document, a list with one object per run, and nothing else.
    """
    from holdfast.cli.documents import print_json
    from holdfast.run.find import list_runs, run_roots

    if root is not None and not Path(root).is_dir():
        raise UserError(f"`runs` must be given a folder, but got {root}; name one that exists.")
    found = list_runs([Path(root)] if root is not None else run_roots())
    if json:
        print_json([run.as_dict() for run in found])
    elif not found:
        where = root if root is not None else ", ".join(f"{folder}/" for folder in run_roots())
        print(f"no runs under {where}; begin one with: holdfast train")
    else:
        _print_table(found)
    return 0


def _print_table(found: Sequence[RunSummary]) -> None:
    rows = [("run", "status", "progress", "best", "last checkpoint", "size", "age")]
    rows += [_row(run) for run in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _row(run: RunSummary) -> tuple[str, ...]:
    status = run.status
    done = status.epoch if status.unit == "epochs" else status.step
    progress = f"{done}/{status.total} {status.unit}" if status.total else f"step {status.step}"
    best = f"{status.best_name} {status.best:.5g}" if status.best is not None else "-"
    checkpoint = run.last_checkpoint or "none yet"
    return run.name, status.state, progress, best, checkpoint, _size(run.size), _age(run.age)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _age(seconds: float) -> str:
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
