"""Every way in which the protocol could be weaker by one step; the harness must notice each of them."""

from __future__ import annotations

import os
import stat
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from holdfast import durable
from holdfast.checkpoint import archive, retention
from holdfast.checkpoint import store as store_module
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store


@contextmanager
def no_fsync_of_files() -> Iterator[None]:
    fsync = os.fsync

    def only_folders(descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            fsync(descriptor)

    with patch.object(os, "fsync", only_folders):
        yield


LEFT_OUT: set[str] = set()
"""The functions in which an fsync of the folder has been left out so far."""


def no_fsync_of_folders(*callers: str) -> Callable[[], Any]:
    """Leaves out the fsync of the folder in some functions; in all if none is named."""
    fsync_folder = durable.fsync_folder

    def selected(folder: Path) -> None:
        caller = sys._getframe(1).f_code.co_name
        if callers and caller not in callers:
            fsync_folder(folder)
        else:
            LEFT_OUT.add(caller)

    return lambda: patch.object(durable, "fsync_folder", selected)


def _replacing(*steps: str) -> Callable[[], Any]:
    """Replaces a file by other steps than the right ones, which are: fsync, rename, fsync of the folder."""

    @contextmanager
    def replacing(path: Path) -> Iterator[int]:
        temporary = path if "in place" in steps else durable.temporary_beside(path)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        yield descriptor
        for step in steps:
            match step:
                case "fsync":
                    os.fsync(descriptor)
                case "rename":
                    os.replace(temporary, path)
                case "fsync of the folder":
                    durable.fsync_folder(path.parent)
                case "unlink":
                    path.unlink(missing_ok=True)
        os.close(descriptor)

    return lambda: patch.object(durable, "replacing", replacing)


def _linking(link: Callable[[Path, Path], None]) -> Callable[[], Any]:
    return lambda: patch.object(durable, "link", link)


def _copy_in_place(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.write(descriptor, source.read_bytes())
    os.fsync(descriptor)
    os.close(descriptor)
    durable.fsync_folder(target.parent)


_link = durable.link


def _remove_then_link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    _link(source, target)


@contextmanager
def _room_is_made_first() -> Iterator[None]:
    save = Store.save

    def make_room(self: Store, state: Any, *, number: str | None = None, is_best: bool = False) -> Path:
        names = list(self.explain()) if self.folder.is_dir() else []
        for name in names[max(self.keep.last, 2) - 1 :]:
            (self.folder / name).unlink()
        return save(self, state, number=number, is_best=is_best)

    with patch.object(Store, "save", make_room):
        yield


@contextmanager
def _latest_before_its_number() -> Iterator[None]:
    save = Store.save

    def latest_first(self: Store, state: Any, *, number: str | None = None, is_best: bool = False) -> Path:
        path = save(self, state, is_best=is_best)
        if number:
            durable.link(path, self.folder / f"checkpoint_{number}.pth")
        self.prune()
        return path

    with patch.object(Store, "save", latest_first):
        yield


@contextmanager
def _forgets_milestones() -> Iterator[None]:
    reasons = Keep.reasons

    def forgetful(self: Keep, checkpoints: Any) -> dict[str, list[str]]:
        return reasons(Keep(last=self.last), checkpoints)

    with patch.object(Keep, "reasons", forgetful):
        yield


@contextmanager
def _one_is_enough() -> Iterator[None]:
    with patch.object(retention, "FEWEST", 1), patch.object(store_module, "FEWEST", 1):
        yield


def _best_link_only(self: Store, path: Path, state: Any) -> None:
    durable.link(path, self.folder / store_module.BEST)


def _best_weights_only(self: Store, path: Path, state: Any) -> None:
    with durable.replacing(self.folder / store_module.BEST_WEIGHTS) as descriptor:
        archive.write(descriptor, state["model_state_dict"])


def _best_link_first(self: Store, path: Path, state: Any) -> None:
    _best_link_only(self, path, state)
    _best_weights_only(self, path, state)


def _delete(self: Store, path: Path, error: Exception) -> None:
    path.unlink()


def _by_name(self: Store) -> list[Path]:
    return sorted(self.folder.glob("checkpoint_*.pth"))


def _unchecked(path: Path) -> Any:
    return torch.load(path, weights_only=True)


_newest_first = Store._newest_first


def _only_the_newest(self: Store) -> list[Path]:
    return _newest_first(self)[:1]


def _says_that_nobody_writes(path: Path) -> bool:
    return False


def _silent_temporary(path: Path) -> tuple[Path, int]:
    """Opens a temporary file without the lock that says that somebody is writing it."""
    temporary = durable.temporary_beside(path)
    return temporary, os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)


def _takes_a_lock_that_is_taken(self: durable.Lock) -> bool:
    self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
    self._closing = weakref.finalize(self, os.close, self._descriptor)
    return True


def _reads_what_it_says_of_itself(path: Path) -> None:
    archive.read_counters(path)


def _instead(owner: Any, name: str, replacement: Any) -> Callable[[], Any]:
    return lambda: patch.object(owner, name, replacement)


MUTATIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "files are not fsynced": (no_fsync_of_files, "first save"),
    "folders are not fsynced": (no_fsync_of_folders(), "numbered saves"),
    "a new folder is not fsynced into its parent": (no_fsync_of_folders("make_folder"), "first save"),
    "the folder is not fsynced after a rename": (no_fsync_of_folders("replacing"), "overwriting the latest"),
    "the folder is not fsynced after a link": (no_fsync_of_folders("link"), "numbered saves"),
    "the folder is fsynced before the rename": (
        _replacing("fsync", "fsync of the folder", "rename"),
        "overwriting the latest",
    ),
    "the file is fsynced after the rename": (_replacing("rename", "fsync", "fsync of the folder"), "numbered saves"),
    "the file is fsynced last": (_replacing("rename", "fsync of the folder", "fsync"), "numbered saves"),
    "the old file is removed before the rename": (
        _replacing("fsync", "unlink", "rename", "fsync of the folder"),
        "overwriting the latest",
    ),
    "the file is written in place": (_replacing("in place", "fsync", "fsync of the folder"), "overwriting the latest"),
    "a link is a copy in place": (_linking(_copy_in_place), "numbered saves"),
    "a link is made after removing the old one": (_linking(_remove_then_link), "numbered saves"),
    "room is made before the save": (_room_is_made_first, "numbered saves"),
    "the latest is moved before the number stands": (_latest_before_its_number, "numbered saves"),
    "nothing is pruned": (_instead(Store, "_prune", lambda self, kept: []), "numbered saves"),
    "one good checkpoint is enough": (_one_is_enough, "numbered saves"),
    "milestones are forgotten": (_forgets_milestones, "milestones"),
    "temporary files are left": (_instead(durable, "remove_temporary_files", lambda folder: None), "numbered saves"),
    "a folder is not fsynced before it is built upon": (no_fsync_of_folders("_take"), "a kill, then a power cut"),
    "links are not mended": (_instead(Store, "_mend_links", lambda *_: None), "numbered saves"),
    "the best weights are not written": (_instead(Store, "_make_best", _best_link_only), "the best moves"),
    "the best is linked before its weights stand": (_instead(Store, "_make_best", _best_link_first), "the best moves"),
    "the best is not linked": (_instead(Store, "_make_best", _best_weights_only), "the best moves"),
    "the best is not mended": (_instead(Store, "_mend_best", lambda *_: None), "the best moves"),
    "temporary files are swept while somebody writes them": (
        _instead(durable, "_is_being_written", _says_that_nobody_writes),
        "another writer",
    ),
    "a file that is being written does not say so": (
        _instead(durable, "_new_temporary", _silent_temporary),
        "another writer",
    ),
    "a folder that another process has is taken": (
        _instead(durable.Lock, "acquire", _takes_a_lock_that_is_taken),
        "a late twin",
    ),
    "recovery does not fall back to an older file": (
        _instead(Store, "_newest_first", _only_the_newest),
        "rot in the newest",
    ),
    "the newest is found by name": (_instead(Store, "_newest_first", _by_name), "numbered saves"),
    "a damaged file is deleted": (_instead(Store, "_set_aside", _delete), "rot in the newest"),
    "what is read is not checked": (_instead(archive, "read", _unchecked), "rot in the newest"),
    "what stays is not checked before pruning": (
        _instead(archive, "verify", lambda path: None),
        "rot, and a prune without loading",
    ),
    "what stays is checked in part before pruning": (
        _instead(archive, "verify", _reads_what_it_says_of_itself),
        "rot, and a prune without loading",
    ),
}
"""For each: the change, and the trial that shows it."""

HARMLESS = {"set aside, not durably": "_set_aside", "pruned, not durably": "_prune"}
"""Functions whose fsync of the folder may be lost: after a power cut what they removed or set aside comes back, and
they do it again."""
