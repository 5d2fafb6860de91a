"""Disks that fail while a run trains: what is installed into the forked process of a command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext

from holdfast.checkpoint import archive
from holdfast.checkpoint.store import Store
from holdfast.engine import train as loop
from tests.faults.calls import Calls, Fault

NOTES = "notes"
"""A file in which the process writes what it sees: a line for each failed save, or each call."""


def failing_at_saves(numbers: set[int], fault: Fault) -> Callable[[], None]:
    """Gives what makes some of a process's saves meet a fault.

    After a failed save the process checks every checkpoint that stands, and notes the step of the latest one.
    """

    def prepare() -> None:
        whole = Store.save
        made = 0

        def save(self, *args, **kwargs):
            nonlocal made
            made += 1
            disk = Calls(self.folder, fault).running() if made in numbers else nullcontext()
            try:
                with disk:
                    return whole(self, *args, **kwargs)
            except OSError:
                note(latest_step(self))
                raise

        Store.save = save

    return prepare


def latest_step(store: Store) -> int | None:
    """Checks every checkpoint in a folder and gives the step of the latest; None when there is none."""
    for path in store.folder.glob("*.pth"):
        archive.verify(path)
    path = store.latest()
    return archive.read(path)["step"] if path else None


def note_calls(number: int, call: object) -> None:
    """Is a fault that fails nothing, and notes each call."""
    note(call)


def note(what: object) -> None:
    """Adds a line to the notes."""
    with open(NOTES, "a") as file:
        file.write(f"{what}\n")


def around_steps(actions: dict[int, Callable[[], object]]) -> Callable[[], None]:
    """Gives what makes a process do something once it has done a step of the run."""

    def prepare() -> None:
        whole = loop.take_step

        def take_step(training, batch):
            whole(training, batch)
            if training.clock.step in actions:
                actions[training.clock.step]()

        loop.take_step = take_step

    return prepare


def fill(folder: str | os.PathLike[str]) -> None:
    """Takes all space that is left on a disk."""
    descriptor = os.open(os.path.join(folder, "filler"), os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        os.close(descriptor)
