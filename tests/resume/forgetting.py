"""Resumes that forget one part of the saved state, and saves that leave one out.

A part is named by its keys, from the outermost to the innermost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.checkpoint import archive
from holdfast.engine.state import capture
from holdfast.engine.training import Training
from holdfast.launch import running, stage
from tests.processes import digest

Part = tuple[str, ...]
_OPENED = ("scheduler_state_dict", "ema_state_dict", "data_state", "history", "history.tally")
"""Parts that are taken apart further."""


@dataclass(frozen=True)
class Forget:
    """Restores a state but for one part, which is as in a run that begins."""

    part: Part

    def __call__(self) -> None:
        def as_in_the_beginning(training):
            begun: Any = copy.deepcopy(capture(training, config={}, journal={}, with_optimizer=True))
            for key in self.part:
                begun = begun[key]
            return begun

        _restore_with(self.part, as_in_the_beginning)


@dataclass(frozen=True)
class Replace:
    """Restores a state but for one part, which has another value."""

    part: Part
    value: Any

    def __call__(self) -> None:
        _restore_with(self.part, lambda training: self.value)


def _restore_with(part: Part, value_for: Callable[[Training], Any]) -> None:
    restore_into = running.restore_into

    def restore_changed_into(training, path, state, say):
        place = state
        for key in part[:-1]:
            place = place[key]
        place[part[-1]] = value_for(training)
        restore_into(training, path, state, say)

    running.restore_into = restore_changed_into


@dataclass(frozen=True)
class Leave:
    """Leaves one part out of every state that is saved."""

    part: Part

    def __call__(self) -> None:
        whole = stage.capture

        def capture_the_rest(*args, **named):
            state = dict(whole(*args, **named))
            place = state
            for key in self.part[:-1]:
                place[key] = dict(place[key])
                place = place[key]
            del place[self.part[-1]]
            return state

        stage.capture = capture_the_rest


def parts_of(state: Mapping[str, Any], within: Part = ()) -> list[Part]:
    """Gives the names of all parts of a state."""
    found = []
    for key, value in state.items():
        part = (*within, key)
        found += parts_of(value, part) if ".".join(part) in _OPENED and value is not None else [part]
    return found


def saved(run_folder: Path) -> dict[str, Any]:
    """Gives the newest state of a run, without what differs between processes."""
    state = archive.read(run_folder / "checkpoints" / "checkpoint_latest.pth")
    del state["timestamp"], state["metadata"]["pid"]
    return state


def digests(run_folder: Path) -> dict[str, str]:
    """Gives a hash of every part of the newest state of a run."""
    state = saved(run_folder)
    found = {}
    for part in parts_of(state):
        value = state
        for key in part:
            value = value[key]
        found[".".join(part)] = digest(value)
    return found
