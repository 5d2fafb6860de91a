"""What a training program does with its folder of checkpoints, and what that folder must hold after any power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias
from unittest.mock import patch

import torch

from holdfast.checkpoint import archive
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store
from tests.crash.disk import Disk
from tests.crash.recording import Recording
from tests.crash.states import Facts, fast_folder, kills, put

FOLDER = "checkpoints"
LATEST, BEST, WEIGHTS = "checkpoint_latest.pth", "checkpoint_best.pth", "weights_best.pth"
Mutation: TypeAlias = Callable[[], AbstractContextManager[Any]]
"""Changes the code under test while a block runs."""


@dataclass(frozen=True)
class Story:
    """A run whose state of step N is the same in every telling: a restart from step N saves N + 1 as before."""

    saves: int
    """How many states the first process saves."""
    names: Callable[[int], tuple[str | None, ...]] = lambda step: (f"epoch{step}",)
    """The numbers that a step is saved with, one after another; None saves it as the latest only."""
    best: frozenset[int] = frozenset()
    """The steps that are better than all before."""
    keep: Keep = field(default_factory=lambda: Keep(last=2))
    links: bool = True
    """Whether the file system has hard links."""

    def numbered(self, step: int) -> bool:
        """Says whether a step is saved with a number."""
        return any(self.names(step))

    def best_until(self, step: int) -> int | None:
        """Gives the best step until this one."""
        return max((best for best in self.best if best <= step), default=None)

    def state(self, step: int) -> dict[str, Any]:
        """Gives the state after a step: a record of more than two blocks and small ones."""
        best = self.best_until(step)
        return _state(step, best)

    def file(self, step: int) -> bytes:
        """Gives the bytes of a step's checkpoint."""
        return _archived(step, self.best_until(step))

    def weights(self, step: int) -> bytes:
        """Gives the bytes of `weights_best.pth` when this step is the best."""
        return _archived_weights(step)

    def save(self, store: Store, step: int) -> None:
        """Saves the state of a step as the training loop does."""
        for number in self.names(step):
            store.save(self.state(step), number=number, is_best=step in self.best)

    @contextmanager
    def file_system(self) -> Iterator[None]:
        """Takes hard links away where the story has none."""

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        if self.links:
            yield
        else:
            with patch.object(os, "link", refuse):
                yield


@lru_cache
def _state(step: int, best: int | None) -> dict[str, Any]:
    random = torch.Generator().manual_seed(step)
    return {
        "version": 1,
        "stage": "train",
        "epoch": step,
        "step": step,
        "samples": 4 * step,
        "model_state_dict": {
            "weight": torch.randn(2300, generator=random),
            "bias": torch.randn(3, generator=random),
        },
        "optimizer_state_dict": {"momentum": torch.randn(3, generator=random)},
        "metric": _metric(step) if step == best else 2.0,
        "best_metric": _metric(best) if best else None,
        "best_step": best,
        "config": {"lr": 0.1},
    }


def _metric(step: int) -> float:
    return 1 / (1 + step)


@lru_cache
def _archived(step: int, best: int | None) -> bytes:
    return archived(_state(step, best))


@lru_cache
def _archived_weights(step: int) -> bytes:
    return archived(_state(step, step)["model_state_dict"])


def archived(state: Mapping[str, Any]) -> bytes:
    """Gives the bytes of the checkpoint that holds a state."""
    with fast_folder() as folder:
        descriptor = os.open(folder / "file", os.O_RDWR | os.O_CREAT)
        archive.write(descriptor, state)
        os.close(descriptor)
        return (folder / "file").read_bytes()


def same(left: Any, right: Any) -> bool:
    """Says whether two states are equal bit for bit."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return (
            left.dtype == right.dtype
            and left.shape == right.shape
            and left.numpy().tobytes() == right.numpy().tobytes()
        )
    return type(left) is type(right) and left == right


@contextmanager
def process(number: int) -> Iterator[None]:
    """Lets the code inside run under a process number of its own."""
    with patch.object(os, "getpid", lambda: number):
        yield


def first_run(story: Story, mutation: Mutation = nullcontext) -> Recording:
    """Records a process that saves every state of a story, beginning without a folder."""
    with fast_folder() as root, process(1), story.file_system():
        recording = Recording(root)
        with recording.running(), mutation(), recording.until_it_fails():
            store = Store(root / FOLDER, story.keep, tell=[].append)
            for step in range(1, story.saves + 1):
                save_and_note(story, store, step, recording)
            store.close()
    return recording


def save_and_note(story: Story, store: Store, step: int, recording: Recording) -> None:
    """Saves a step, and notes when it is begun and when it is done."""
    recording.note("begun", step)
    story.save(store, step)
    recording.note("saved", step)


def go_on(story: Story, store: Store, recording: Recording) -> None:
    """Loads the newest state and saves the one after it, as a resumed run does."""
    newest = store.load_newest()
    step = newest[1]["step"] if newest else 0
    if newest:
        recording.note("loaded", step)
    save_and_note(story, store, step + 1, recording)


def prune(story: Story, store: Store, recording: Recording) -> None:
    """Removes what is not kept, without loading anything."""
    store.prune()


def second_run(
    story: Story,
    disk: Disk,
    act: Callable[[Story, Store, Recording], None] = go_on,
    *,
    number: int = 2,
    mutation: Mutation = nullcontext,
) -> Recording:
    """Records a process that finds a disk as a crash left it and does something with it."""
    with fast_folder() as root, process(number), story.file_system():
        put(disk.now(), root)
        recording = Recording(root, disk)
        with recording.running(), mutation(), recording.until_it_fails():
            store = Store(root / FOLDER, story.keep, tell=[].append)
            act(story, store, recording)
            store.close()
    return recording


def rotten_disk(story: Story, step: int, damage: Callable[[bytes], bytes]) -> tuple[Disk, Facts]:
    """Gives a disk on which a story has been saved whole and the file of one step has rotted since."""
    recording = first_run(story)
    *_, (disk, facts) = kills(recording)
    tree = disk.now()
    whole = story.file(step)
    files = {
        path: replace(file, content=damage(whole)) if file.content == whole else file
        for path, file in tree.files.items()
    }
    return Disk.holding(replace(tree, files=files)), Facts(facts.begun - {step}, facts.saved - {step})


def flip(place: float) -> Callable[[bytes], bytes]:
    """Gives a damage: one bit flips, at a place between the first byte (0) and the last (1)."""

    def damage(content: bytes) -> bytes:
        data = bytearray(content)
        data[round(place * (len(data) - 1))] ^= 1
        return bytes(data)

    return damage


def _every_second(step: int) -> tuple[str | None]:
    return (None,) if step % 2 else (f"epoch{step}",)


def _every_second_again(step: int) -> tuple[str | None, ...]:
    return (None,) if step % 2 else (None, f"epoch{step}")


STORIES = {
    "first save": Story(saves=1),
    "numbered saves": Story(saves=5, keep=Keep(last=1)),
    "overwriting the latest": Story(saves=4, names=lambda step: (None,)),
    "numbers and the latest between them": Story(saves=6, names=_every_second),
    "the latest gets a number, too": Story(saves=5, names=_every_second_again),
    "the best moves": Story(saves=5, best=frozenset({1, 3, 4})),
    "the best is an unnumbered one": Story(saves=5, names=_every_second, best=frozenset({1, 4, 5}), keep=Keep(last=2)),
    "milestones": Story(saves=6, keep=Keep(last=2, milestones=frozenset({1, 3}))),
    "no hard links": Story(saves=4, best=frozenset({1, 3}), links=False),
}
