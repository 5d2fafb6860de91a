"""The histories of two runs compared: the rows of `metrics.jsonl`, and the curves that TensorBoard shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from holdfast.run.journal import ROWS


@dataclass(frozen=True)
class HistoryDifference:
    """The first place at which two histories part."""

    place: str
    """`metrics.jsonl line 4`, or a curve."""
    step: int | None
    """The step of the row; None where the step is not known."""
    what: str


def history_differences(ours: Path, theirs: Path) -> Iterator[HistoryDifference]:
    """Gives the first row, and the first point of each curve, that differ between two folders of logs."""
    yield from _rows(ours / ROWS, theirs / ROWS)
    yield from _curves(curves(ours), curves(theirs))


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Gives every point that TensorBoard shows for a folder, by the name of the curve."""
    # A part of TensorBoard that only readers need.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not any(folder.glob("events.out.tfevents.*")):
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(point.step, point.value) for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def _rows(ours: Path, theirs: Path) -> Iterator[HistoryDifference]:
    our_lines, their_lines = _lines(ours), _lines(theirs)
    for number, (our, their) in enumerate(zip_longest(our_lines, their_lines), start=1):
        if our != their:
            rows = [json.loads(line) if line else {} for line in (our, their)]
            step = next((row["step"] for row in rows if "step" in row), None)
            yield HistoryDifference(f"{ROWS} line {number}", step, _changed(*rows))
            return


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _changed(our: dict[str, Any], their: dict[str, Any]) -> str:
    if not our or not their:
        return "only in one of the two"
    keys = [key for key in {**our, **their} if our.get(key) != their.get(key)]
    return ", ".join(f"{key} {our.get(key)} and {their.get(key)}" for key in keys[:3]) or "another spelling"


def _curves(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[HistoryDifference]:
    for tag in sorted({*ours, *theirs}):
        for our, their in zip_longest(ours.get(tag, []), theirs.get(tag, [])):
            # As text, for a value that is not a number differs from itself.
            if repr(our) != repr(their):
                x, what = (our or their)[0], f"{our and our[1]} and {their and their[1]}"
                yield HistoryDifference(f"the curve {tag} at {x}", None, what)
                break
