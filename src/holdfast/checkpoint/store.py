"""The folder of checkpoints of one stage: saving, the newest good one, the best, and what is kept.

Nothing is remembered beside the files: what is latest, best and to be kept is read from the folder each time, so it
survives kills, copies and moves. Each change is one rename, link or removal, so it may be interrupted anywhere.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.retention import FEWEST, Keep, Numbered
from holdfast.errors import CheckpointError, DamagedCheckpoint

LATEST = "checkpoint_latest.pth"
BEST = "checkpoint_best.pth"
BEST_WEIGHTS = "weights_best.pth"
_NUMBERED = re.compile(r"checkpoint_(epoch|step)\d+\.pth")


class PartlySaved(OSError):
    """A state stands, but one of its other names (latest, best) or the removal of old ones had to wait."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.path = path


class Store:
    """The checkpoints in one folder: like a dictionary of states that survives power cuts.

    One process at a time may change a folder: the first call that would takes its lock.

    Args:
        folder: Where the files are; created at the first save.
        keep: What is kept of the numbered ones; the latest and the best always are.
        tell: Is told, in one line, what a person should know (a damaged file that was set aside).
    """

    def __init__(self, folder: Path, keep: Keep | None = None, *, tell: Callable[[str], None] = print) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.keep = keep or Keep()
        self.tell = tell
        self._lock = durable.Lock(self.folder / ".lock")
        self._good: set[tuple[int, int]] = set()
        self._told: set[str] = set()

    def save(self, state: Mapping[str, Any], *, number: str | None = None, is_best: bool = False) -> Path:
        """Writes a state, durably, and gives its file.

        The state gets the names `latest`, the number (`epoch10`, `step1200`) and `best` as asked; all of them share
        its bytes. Only when they stand are older checkpoints removed.

        Raises:
            PartlySaved: When the state stands, but the disk refuses what comes after; the next save mends it.
            OSError: When the disk refuses; what stood before still stands.
            CheckpointError: When the state holds what cannot be stored, or another process has the folder.
        """
        self._take()
        path = self.folder / (f"checkpoint_{number}.pth" if number else LATEST)
        with durable.replacing(path) as descriptor:
            archive.write(descriptor, state)
        self._good.add(_identity(path))
        try:
            if number:
                durable.link(path, self.folder / LATEST)
            if is_best:
                self._make_best(path, state)
            else:
                self._mend_best(state)
            self._prune({path.name, LATEST})
        except OSError as error:
            raise PartlySaved(path, error) from error
        return path

    def latest(self) -> Path | None:
        """Gives the latest checkpoint's file, unread; None when there is none."""
        path = self.folder / LATEST
        return path if path.exists() else None

    def best(self) -> Path | None:
        """Gives the best checkpoint's file, unread; None when there is none."""
        path = self.folder / BEST
        return path if path.exists() else None

    def load_newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Gives the newest good checkpoint and its state, every byte checked; None when there is none.

        A damaged file is set aside as `NAME.damaged` and named, and the next older one is tried. In a folder that
        cannot be written to, nothing is set aside or mended.

        Raises:
            CheckpointError: When there are checkpoints, but none of them can be read.
        """
        if not self.folder.is_dir():
            return None
        self._take_if_possible()
        is_empty = not self._named(lambda name: name in (LATEST, BEST) or _NUMBERED.fullmatch(name))
        for path in self._newest_first():
            try:
                state = archive.read(path)
            except DamagedCheckpoint as error:
                self._set_aside(path, error)
                continue
            except (CheckpointError, OSError) as error:
                self.tell(f"{path} cannot be read ({error}); an older checkpoint is used.")
                continue
            self._good.add(_identity(path))
            if self._lock.is_mine:
                self._mend_links(path, state)
            return path, state
        if is_empty:
            return None
        raise CheckpointError(
            f"`{self.folder}` must hold a checkpoint that can be read, but none of its files can; "
            "mend or bring back one of them (see `holdfast verify`), or begin a new run."
        )

    def explain(self) -> dict[str, list[str]]:
        """Gives, for each numbered checkpoint, the rules that keep it; those without one would be removed.

        Changes nothing. Every byte is checked, and a damaged one is named as such.
        """
        numbered, damaged = self._survey()
        reasons = self.keep.reasons(numbered) | {path.name: [] for path, _ in damaged}
        for name, why in reasons.items():
            try:
                archive.verify(self.folder / name)
            except (CheckpointError, OSError) as error:
                why[:] = [f"damaged, so it is set aside when it is met: {error}"]
        return reasons

    def prune(self) -> list[Path]:
        """Removes the numbered checkpoints that no rule keeps, oldest first, and gives their files.

        Before anything is removed, two of those that stay have been written or checked whole by this process.
        """
        return self._prune({LATEST})

    def _prune(self, kept: set[str]) -> list[Path]:
        """Prunes; the files of these names stay, whatever the rules say, under each of their names."""
        self._take()
        while True:
            numbered, damaged = self._survey()
            for path, error in damaged:
                self._set_aside(path, error)
            reasons = self.keep.reasons(numbered)
            held = {_identity(self.folder / name) for name in kept if (self.folder / name).exists()}
            removable = [self.folder / name for name, why in reasons.items() if not why]
            removable = [path for path in removable if _identity(path) not in held]
            staying = [self.folder / name for name, why in reasons.items() if why]
            if not removable:
                return []
            try:
                if self._are_good(staying):
                    break
            except OSError as error:
                self._tell_once(f"a checkpoint cannot be read ({error.strerror}); none is removed meanwhile.")
                return []
        for path in reversed(removable):
            path.unlink()
        durable.fsync_folder(self.folder)
        return removable

    def space(self, path: Path) -> str:
        """Says, in one line, what checkpoints like this one take and what room there is."""
        kept = max(self.keep.last, FEWEST)
        free = shutil.disk_usage(self.folder).free
        return (
            f"a checkpoint is {_size(path.stat().st_size)}; the last {kept} are kept, the latest and the best; "
            f"{_size(free)} are free"
        )

    def close(self) -> None:
        """Lets another process have the folder."""
        self._lock.release()

    def _take(self) -> None:
        """Takes the folder's lock; then every temporary file in it was left by a process or a save that failed."""
        if self._lock.is_mine and self.folder.is_dir():
            if not self._lock.is_in_place():
                raise CheckpointError(
                    f"`{self.folder}` must stay the folder that it was, but it has been moved or replaced; "
                    "move it back, or stop this training and resume it there."
                )
            durable.remove_temporary_files(self.folder)
            return
        self._lock.release()
        durable.make_folder(self.folder)
        if not self._lock.acquire():
            raise CheckpointError(
                f"`{self.folder}` must be written by one process at a time, but another one (or another object "
                "in this one) has it; wait for it, stop it or close it."
            )
        try:
            durable.remove_temporary_files(self.folder)
            # What a killed process has renamed here may not be durable yet, but from now on it is built upon.
            durable.fsync_folder(self.folder)
        except BaseException:
            self._lock.release()
            raise

    def _take_if_possible(self) -> None:
        """Takes the folder's lock, unless nobody could write there anyway."""
        try:
            self._take()
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            self._lock.release()
            self._tell_once(f"{self.folder} cannot be written to ({error.strerror}), so nothing is mended there.")

    def _newest_first(self) -> list[Path]:
        """Every checkpoint but the best by what it has done, newest first, each file once; then the best."""
        counted = []
        seen: set[int] = set()
        for path in self._named(lambda name: name == LATEST or _NUMBERED.fullmatch(name)):
            # Setting a damaged file aside takes its other names away.
            counters = self._counters(path) if path.exists() else None
            if counters is not None and path.stat().st_ino not in seen:
                seen.add(path.stat().st_ino)
                counted.append(((counters["step"], counters["epoch"], path.name != LATEST), path))
        newest = [path for _, path in sorted(counted, reverse=True)]
        best = self.best()
        return newest + ([best] if best and best.stat().st_ino not in seen else [])

    def _survey(self) -> tuple[list[Numbered], list[tuple[Path, DamagedCheckpoint]]]:
        """Gives the numbered checkpoints by what they say of themselves, and those that are damaged."""
        found, damaged = [], []
        for path in self._named(_NUMBERED.fullmatch):
            try:
                counters = archive.read_counters(path)
            except DamagedCheckpoint as error:
                damaged.append((path, error))
            except (CheckpointError, OSError) as error:
                self._tell_once(str(error))
            else:
                if isinstance(counters.get("epoch"), int) and isinstance(counters.get("step"), int):
                    metric = counters.get("metric")
                    is_number = isinstance(metric, int | float)
                    found.append(
                        Numbered(path.name, counters["epoch"], counters["step"], metric if is_number else None)
                    )
        return found, damaged

    def _named(self, wanted: Callable[[str], object]) -> list[Path]:
        return [path for path in sorted(self.folder.glob("checkpoint_*.pth")) if wanted(path.name)]

    def _counters(self, path: Path) -> dict[str, Any] | None:
        """Gives what a checkpoint says of itself; None for one that is damaged (then set aside) or not ours."""
        try:
            counters = archive.read_counters(path)
        except DamagedCheckpoint as error:
            self._set_aside(path, error)
        except (CheckpointError, OSError) as error:
            self._tell_once(str(error))
        else:
            return counters if all(isinstance(counters.get(name), int) for name in ("step", "epoch")) else None
        return None

    def _are_good(self, staying: list[Path]) -> bool:
        """Makes sure that enough of the newest are good; a damaged one is set aside and makes the answer no."""
        for path in staying[:FEWEST]:
            if _identity(path) not in self._good:
                try:
                    archive.verify(path)
                except DamagedCheckpoint as error:
                    self._set_aside(path, error)
                    return False
                self._good.add(_identity(path))
        return True

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.tell(line)

    def _make_best(self, path: Path, state: Mapping[str, Any]) -> None:
        # The link comes last: where it stands, the weights do, too.
        averaged = state.get("ema_state_dict") or {}
        weights = averaged.get("model_state_dict", state.get("model_state_dict"))
        # A loop of one's own may track anything: nothing called a model, or averages in a form of their own.
        if weights is not None:
            with durable.replacing(self.folder / BEST_WEIGHTS) as descriptor:
                archive.write(descriptor, weights)
        durable.link(path, self.folder / BEST)

    def _mend_links(self, path: Path, state: Mapping[str, Any]) -> None:
        """Finishes what a kill between a save and its links left undone."""
        latest = self.folder / LATEST
        if path != latest and not self._holds(latest, state):
            durable.link(path, latest)
        self._mend_best(state)

    def _mend_best(self, state: Mapping[str, Any]) -> None:
        """Makes `best` the state that another names as the best, where that stands but its links do not."""
        step = state.get("best_step")
        is_whole = (self.folder / BEST_WEIGHTS).exists() and self._step_of(self.folder / BEST) == step
        if step is None or is_whole:
            return
        for path in self._named(lambda name: name == LATEST or _NUMBERED.fullmatch(name)):
            if self._step_of(path) == step:
                found = archive.read(path)
                if found.get("metric") is not None:
                    self._make_best(path, found)
                    return

    def _step_of(self, path: Path) -> int | None:
        counters = self._counters(path) if path.exists() else None
        return counters["step"] if counters else None

    def _holds(self, path: Path, state: Mapping[str, Any]) -> bool:
        if not path.exists():
            return False
        counters = self._counters(path)
        return counters is not None and all(counters[name] == state[name] for name in ("step", "epoch"))

    def _set_aside(self, path: Path, error: CheckpointError) -> None:
        """Renames a damaged file, and takes its other names (latest, best) from it; else only names it."""
        if not self._lock.is_mine:
            self._tell_once(str(error))
            return
        others = [other for other in self._named(lambda name: name != path.name) if other.samefile(path)]
        aside = path.with_name(f"{path.name}.damaged")
        counter = 2
        while aside.exists():
            aside = path.with_name(f"{path.name}.damaged-{counter}")
            counter += 1
        os.rename(path, aside)
        for other in others:
            other.unlink()
        durable.fsync_folder(path.parent)
        self.tell(f"{error} It is set aside as {aside.name}.")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
