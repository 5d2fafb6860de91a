"""The folder of a run: its name, its files, its lock and its status."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast import durable
from holdfast.errors import RunError
from holdfast.run.creating import LOCK, MARK, create_folder, is_run

STATES = ("running", "finished", "interrupted", "failed")
_NOT_IN_NAMES = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LONGEST_NAME = 200


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a run is, as `status.json` has it."""

    state: str
    """running, finished, interrupted or failed."""
    stage: str = "train"
    epoch: int = 0
    step: int = 0
    samples: int = 0
    total: int | None = None
    """How many epochs or steps are planned."""
    unit: str = "epochs"
    """What `total` counts: epochs or steps."""
    best_name: str | None = None
    best: float | None = None
    best_step: int | None = None
    message: str = ""
    updated: str = field(default_factory=_now)
    """When this was written, ISO 8601; empty when nobody knows."""
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)

    def to_json(self) -> str:
        """Gives the text of `status.json`; a best that JSON cannot hold (infinite) is null."""
        values = asdict(self)
        if self.best is not None and not math.isfinite(self.best):
            values["best"] = None
        return _json(values)

    @classmethod
    def from_json(cls, text: str | bytes) -> Status:
        """Reads what `to_json` gave; unknown keys of a later version are left out.

        Raises:
            ValueError: When the text is something else.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or document.get("state") not in STATES:
            raise ValueError("not a status")
        known = {one.name: document[one.name] for one in fields(cls) if one.name in document}
        counts = [known.get(key, 0) for key in ("epoch", "step", "samples", "pid")]
        words = [known.get(key) or "" for key in ("stage", "unit", "best_name", "message", "updated", "host")]
        numbers = [known.get(key) or 0 for key in ("total", "best", "best_step")]
        if not (
            all(isinstance(one, int) for one in counts)
            and all(isinstance(one, str) for one in words)
            and all(isinstance(one, int | float) for one in numbers)
        ):
            raise ValueError("not a status")
        return cls(**known)


class RunFolder:
    """One run on the disk. The path is absolute, so it holds when the program changes its current folder."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))
        self.name = self.path.name

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path, files: Mapping[str, str | bytes | Path], *, numbered: bool) -> RunFolder:
        """Creates a run with these files: it exists complete or not at all.

        Args:
            path: The folder; an existing empty one is taken over.
            files: Contents by relative name (`config.yaml`, `code/system.py`); a path shares that file's bytes.
            numbered: What a taken name means: the next of NAME-2, NAME-3, ... (True) or an error (False).

        Raises:
            RunError: When the name is taken, or the place cannot be written to; nothing is left behind.
        """
        return cls(create_folder(Path(os.path.abspath(path)), files, numbered=numbered))

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Gives the run in an existing folder.

        Raises:
            RunError: When the folder is not a run.
        """
        if not cls.is_run(path):
            raise RunError(
                f"`{path}` must be a run folder, but got one without {MARK} and config.json; see `holdfast runs`."
            )
        return cls(path)

    @staticmethod
    def is_run(path: Path) -> bool:
        """Says whether a folder is a run."""
        return is_run(path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps other processes from working on the run while the block runs.

        Raises:
            RunError: When another process has it already.
        """
        lock = durable.Lock(self.path / LOCK)
        try:
            # Somebody who only asks whether the run is running holds the lock for an instant.
            is_ours = lock.acquire() or (time.sleep(0.05) or lock.acquire())
        except OSError as error:
            raise RunError(
                f"`{self.path}` must be a folder that can be written to, but got '{error.strerror}' for {LOCK}; "
                "change its permissions, or copy the run."
            ) from error
        if not is_ours:
            holder = lock.path.read_text(errors="replace").strip() or "another process"
            raise RunError(
                f"`{self.path}` must be used by one process at a time, but {holder} has it; wait for it or stop it."
            )
        try:
            with suppress(OSError):
                lock.path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
            yield
        finally:
            lock.release()

    def is_running(self) -> bool:
        """Says whether a living process holds the lock; yes, too, when another user's lock cannot be asked."""
        try:
            return durable.Lock(self.path / LOCK).is_held()
        except PermissionError:
            return True

    def checkpoints(self, stage: str) -> Path:
        """Gives the folder of a stage's checkpoints; a run without stages has one without a name."""
        return self.path / "checkpoints" / _stage_folder(stage)

    def logs(self, stage: str) -> Path:
        """Gives the folder of a stage's logs."""
        return self.path / "logs" / _stage_folder(stage)

    def config_values(self) -> dict[str, Any]:
        """Gives the resolved configuration.

        Raises:
            RunError: When `config.json` is missing or damaged.
        """
        path = self.path / "config.json"
        try:
            values = json.loads(path.read_bytes())
            if not isinstance(values, dict):
                raise ValueError("something else than a mapping")
        except (OSError, ValueError) as error:
            raise RunError(
                f"`{path}` must hold the configuration of the run, but got {error}; "
                "restore it from config.yaml, which says the same."
            ) from error
        return values

    def threads(self) -> int | None:
        """Gives how many threads the run began with; None when that is not known."""
        try:
            found = json.loads((self.path / "provenance.json").read_bytes())["threads"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, int) else None

    def write_config(self, yaml_text: str, values: Mapping[str, Any]) -> None:
        """Replaces the configuration, after it was changed on resume."""
        durable.write_file(self.path / "config.json", _json(values))
        durable.write_file(self.path / MARK, yaml_text)

    def write_status(self, status: Status) -> None:
        """Replaces `status.json`."""
        durable.write_file(self.path / "status.json", status.to_json())

    def read_status(self) -> Status:
        """Gives how far the run is; never raises.

        A run that says that it is running while nobody holds its lock was killed: it reads as interrupted, as does
        one whose `status.json` is missing or damaged.
        """
        try:
            status = Status.from_json((self.path / "status.json").read_bytes())
        except (OSError, ValueError):
            message = "status.json is missing or damaged"
            return Status(state="interrupted", stage=self._newest_stage(), message=message, updated="", pid=0, host="")
        if status.state == "running" and not self.is_running():
            return replace(status, state="interrupted")
        return status

    def add_session(self, session: Mapping[str, Any]) -> None:
        """Adds a session (one resume) to `provenance.json`; a damaged one is set aside."""
        path = self.path / "provenance.json"
        document: Any = {}
        try:
            document = json.loads(path.read_bytes())
            sessions = [*document.get("sessions", []), dict(session)]
        except FileNotFoundError:
            sessions = [dict(session)]
        except (ValueError, AttributeError, TypeError):
            os.replace(path, path.with_name(f"{path.name}.damaged"))
            document, sessions = {}, [dict(session)]
        durable.write_file(path, _json({**document, "sessions": sessions}))

    def _newest_stage(self) -> str:
        """Gives the stage that saved last, going by its files."""
        saved = [*self.path.glob("checkpoints/*.pth"), *self.path.glob("checkpoints/*/*.pth")]
        if not saved:
            return "train"
        folder = max(saved, key=lambda path: path.stat().st_mtime).parent
        return "train" if folder == self.checkpoints("train") else folder.name


def check_name(name: str) -> None:
    """Refuses names that some file system or command could not hold; `/` makes groups.

    Raises:
        RunError: Naming the part and what is wrong with it.
    """
    for part in name.split("/"):
        if wrong := _fault(part):
            raise RunError(
                f"`--name` must be made of ordinary file names, but got {name!r}: {wrong}; choose another name."
            )


def automatic_name(label: str, values: Sequence[tuple[str, Any]], now: datetime) -> str:
    """Gives a name like `VGGSNN_T10_lr0.001_lamb0.0001_20250114_153045`.

    Args:
        label: The model or the system.
        values: Config keys and their values; the last word of a key is used, unless it is `name`.
        now: The time at its end.
    """
    named = [(key.rpartition(".")[2], value) for key, value in values]
    words = [label, *(f"{value}" if word == "name" else f"{word}{value}" for word, value in named)]
    fit = "_".join(re.sub(r"[^A-Za-z0-9._+=-]+", "-", word) for word in words)
    return f"{fit.lstrip('.-')[:_LONGEST_NAME] or 'run'}_{now:%Y%m%d_%H%M%S}"


def _fault(part: str) -> str | None:
    if not part:
        return "a part of it is empty (it must not begin or end with '/')"
    if part in (".", ".."):
        return f"{part!r} is no name"
    if part[0] in ".-":
        return f"{part!r} begins with {part[0]!r}"
    if part[-1] in ". ":
        return f"{part!r} ends with {part[-1]!r}"
    if found := _NOT_IN_NAMES.search(part):
        return f"{part!r} has the character {found[0]!r}"
    if _RESERVED.fullmatch(part):
        return f"{part!r} is reserved on Windows"
    return None


def _stage_folder(stage: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", stage):
        raise RunError(f"`stage` must be an ordinary name, but got {stage!r}; see the stages of the run's config.yaml.")
    return "" if stage == "train" else stage


def _json(document: Any) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
