"""A copy of a run that holds on its own: complete or not there, and checked after copying."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.layouts.layout import WEIGHTS
from holdfast.checkpoint.store import BEST_WEIGHTS, LATEST
from holdfast.errors import CheckpointError, DamagedCheckpoint, RunError, UserError
from holdfast.run.folder import RunFolder

_LOCK = ".lock"
_MAKING = "backing-up"
_TO_LOCK = 60.0
_MOST_ROUNDS = 20
_AT_ONCE = 1 << 22
_LATEST_WEIGHTS = "weights_latest.pth"
_BESIDE_WEIGHTS = ("config.yaml", "config.json", "provenance.json", "git_commit.txt", "status.json")


@dataclass(frozen=True)
class Backup:
    """What a backup came to."""

    path: Path
    files: int
    bytes: int
    checked: int
    """How many checkpoints have been read again and checked, byte by byte."""
    damaged: tuple[str, ...] = ()
    """Checkpoints that are damaged in the run itself; they are not in the backup."""


_Identity: TypeAlias = tuple[int, int, int, int]


class _Copy:
    """The copying of one folder into another; names that share their bytes share them in the copy, too."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target
        self.of: dict[Path, _Identity] = {}
        """What each name meant when it was copied."""
        self._by_identity: dict[_Identity, Path] = {}

    def file(self, inside: Path) -> bool:
        """Copies one file, durably, and says whether it was still there."""
        target = self.target / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError), open(self.source / inside, "rb") as original:
            identity = _identity(os.fstat(original.fileno()))
            known = self._by_identity.get(identity)
            self._forget(target)
            if known is not None and known != target:
                durable.link(known, target)
            else:
                # Under its last name: nobody sees the folder before it is whole, and its entries are made durable then.
                target.unlink(missing_ok=True)
                with target.open("xb") as copy:
                    shutil.copyfileobj(original, copy, _AT_ONCE)
                    copy.flush()
                    os.fsync(copy.fileno())
                self._by_identity[identity] = target
            self.of[inside] = identity
            return True
        return False

    def _forget(self, target: Path) -> None:
        """Nothing may be linked any more to what stood here: it is about to be replaced."""
        self._by_identity = {one: path for one, path in self._by_identity.items() if path != target}

    def is_outdated(self, inside: Path) -> bool:
        """Says whether a name means another file than when it was copied; what is gone needs no copy."""
        with suppress(FileNotFoundError):
            return _identity(os.stat(self.source / inside)) != self.of.get(inside)
        return False


def back_up(folder: RunFolder, root: Path, *, weights_only: bool, now: datetime) -> Backup:
    """Copies a run to `root/NAME_YYYYmmdd_HHMMSS` and checks every checkpoint of the copy.

    The run may be running: its files are replaced as wholes, and its logs only grow, so they are copied last. A
    checkpoint that it removes meanwhile is left out; the latest is always there.

    Args:
        folder: The run.
        root: Where backups go; created when missing.
        weights_only: Leave out everything but weights, configuration and provenance.
        now: The time in the name.

    Raises:
        UserError: When there is no room, or the backup would lie in the run.
        CheckpointError: When a copy is not what it was copied from; nothing is left behind.
        OSError: When the disk refuses; nothing is left behind.
    """
    root = root.expanduser()
    if root.resolve().is_relative_to(folder.path.resolve()):
        raise UserError(f"`{root}` must lie outside the run that is copied; choose another folder.")
    durable.make_folder(root)
    _remove_unfinished(root)
    _check_room(folder, root, weights_only=weights_only)
    target = _free_name(root / f"{folder.name}_{now:%Y%m%d_%H%M%S}")
    with _staging(target) as staging:
        copy = _Copy(folder.path, staging)
        damaged: list[str] = []
        checked = _copy_weights(folder, copy) if weights_only else _copy_all(folder, copy, damaged)
        (staging / _LOCK).unlink()
        files = [path for path in staging.rglob("*") if path.is_file()]
        size = sum({(status := path.stat()).st_ino: status.st_size for path in files}.values())
        for inner, _, _ in os.walk(staging, topdown=False):
            durable.fsync_folder(Path(inner))
        os.rename(staging, target)
    durable.fsync_folder(root)
    return Backup(target, len(files), size, checked, tuple(damaged))


def _copy_all(folder: RunFolder, copy: _Copy, damaged: list[str]) -> int:
    """Copies everything, checkpoints first, and gives how many of these have been checked."""
    rounds = 0
    while outdated := [inside for inside in _checkpoints(folder) if copy.is_outdated(inside)]:
        rounds += 1
        if rounds > _MOST_ROUNDS:
            raise RunError(
                f"`{folder.path}` must leave time to be copied, but it saves faster than that; "
                "stop it, or let it save less often."
            )
        for inside in outdated:
            copy.file(inside)
    checked: set[_Identity] = set()
    for inside, identity in list(copy.of.items()):
        if identity in checked:
            continue
        if _is_good(copy, inside):
            checked.add(identity)
        else:
            damaged.append(str(inside))
    # What has been saved since then stays out: with it the latest would not be the newest.
    for inside in _files(folder.path):
        if inside not in copy.of and not _is_checkpoint(inside):
            copy.file(inside)
    return len(checked)


def _is_good(copy: _Copy, inside: Path) -> bool:
    """Checks a copied checkpoint; one that is damaged in the run itself is taken out of the copy.

    Raises:
        DamagedCheckpoint: When only the copy is damaged.
    """
    try:
        archive.verify(copy.target / inside)
    except DamagedCheckpoint:
        with suppress(FileNotFoundError):
            try:
                archive.verify(copy.source / inside)
            except DamagedCheckpoint:
                (copy.target / inside).unlink()
                return False
        raise
    except CheckpointError:
        return True  # somebody else's file: there is nothing to check it by
    return True


def _copy_weights(folder: RunFolder, copy: _Copy) -> int:
    """Copies the best weights of each stage, else those of its latest checkpoint, and gives how many were checked."""
    places = sorted({inside.parent for inside in _checkpoints(folder)})
    written = []
    for place in places:
        if copy.file(place / BEST_WEIGHTS):
            written.append(place / BEST_WEIGHTS)
        elif (folder.path / place / LATEST).is_file():
            (copy.target / place).mkdir(parents=True, exist_ok=True)
            with durable.replacing(copy.target / place / _LATEST_WEIGHTS) as descriptor:
                archive.write(descriptor, _weights(archive.read(folder.path / place / LATEST)))
            written.append(place / _LATEST_WEIGHTS)
    if not written:
        raise RunError(f"`{folder.path}` must have weights to back up, but got a run without a checkpoint; train it.")
    for inside in written:
        archive.verify(copy.target / inside)
    for name in _BESIDE_WEIGHTS:
        copy.file(Path(name))
    return len(written)


def _weights(state: Mapping[str, Any]) -> Mapping[str, Any]:
    weights = (state.get("ema_state_dict") or state).get(WEIGHTS)
    if weights is None:
        raise CheckpointError(
            f"`{LATEST}` must hold `{WEIGHTS}`, but got only {', '.join(state)}; back up the whole run."
        )
    return weights


def _checkpoints(folder: RunFolder) -> Iterator[Path]:
    yield from filter(_is_checkpoint, _files(folder.path))


def _is_checkpoint(inside: Path) -> bool:
    return inside.parts[0] == "checkpoints" and inside.suffix == ".pth"


def _files(folder: Path) -> Iterator[Path]:
    """Gives the files of a run, without locks and what is just being written; links to elsewhere are not followed."""
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(parent) / name
            if name != _LOCK and ".tmp-" not in name and path.is_file() and not path.is_symlink():
                yield path.relative_to(folder)


def _identity(status: os.stat_result) -> _Identity:
    # The number of a file that was removed is soon given to another one.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _check_room(folder: RunFolder, root: Path, *, weights_only: bool) -> None:
    """Makes sure, before anything is written, that the copy fits."""
    sizes: dict[_Identity, int] = {}
    for inside in _files(folder.path):
        if weights_only and inside.name not in (BEST_WEIGHTS, LATEST, *_BESIDE_WEIGHTS):
            continue
        with suppress(FileNotFoundError):
            status = (folder.path / inside).stat()
            sizes[_identity(status)] = status.st_size
    needed, free = sum(sizes.values()), shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"`{root}` must have room for {needed / 1e6:,.1f} MB, but got {free / 1e6:,.1f} MB; "
            "make room, choose another folder, or use --weights-only."
        )


def _free_name(path: Path) -> Path:
    number, free = 2, path
    while os.path.lexists(free):
        free = path.with_name(f"{path.name}-{number}")
        number += 1
    return free


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """Makes the hidden folder in which a backup is built; what is left of it at the end is removed."""
    staging = target.with_name(f".{target.name}.{_MAKING}-{os.getpid()}")
    staging.mkdir()
    lock = durable.Lock(staging / _LOCK)
    lock.acquire()
    try:
        yield staging
    finally:
        lock.release()
        shutil.rmtree(staging, ignore_errors=True)


def _remove_unfinished(root: Path) -> None:
    """Removes what killed processes have left half copied."""
    for path in root.glob(f".*.{_MAKING}-*"):
        # Who has only just made its folder has not locked it yet.
        is_new = time.time() - path.stat().st_mtime < _TO_LOCK
        if not is_new and not durable.Lock(path / _LOCK).is_held():
            shutil.rmtree(path, ignore_errors=True)
