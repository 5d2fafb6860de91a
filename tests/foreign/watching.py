"""Readers watched from outside: in a process of their own, under a hook that hears of everything they do."""

from __future__ import annotations

import copyreg
import faulthandler
import io
import json
import os
import pickle
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch

from holdfast.checkpoint.foreign.limits import Limits
from holdfast.checkpoint.foreign.opening import open_file
from holdfast.errors import CheckpointError
from tests.foreign.corpus import EXTENSION, Attack

Reader: TypeAlias = Callable[[Path, Limits], object]
HARMLESS = {"builtins.id", "mmap.__new__", "gc.get_objects", "sys._getframe", "object.__getattr__"}
"""What Python tells a hook of that does nothing outside of the process."""


@dataclass(frozen=True)
class Outcome:
    """What came of one file."""

    error: str
    """The name of the exception; empty when the file was opened."""
    message: str
    seconds: float
    heard: list[str]
    """What the hook heard of that a reader has no business with."""


@dataclass(frozen=True)
class Watched:
    """What came of several files in one process."""

    outcomes: list[Outcome]
    grown: int
    """Bytes of memory that the process took at most, beyond those that it had before."""


@dataclass
class _Ear:
    """Hears what the process does while it listens, and forbids what a reader has no business with."""

    listening: str = ""
    """The one file that may be opened now."""
    heard: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.listening or event in HARMLESS:
            return
        if event == "open" and str(arguments[0]) == self.listening and not arguments[2] & (os.O_ACCMODE | os.O_CREAT):
            return
        self.heard.append(f"{event} {arguments!r:.80}")
        raise PermissionError(f"not allowed here: {event}")


def in_a_process(act: Callable[[], Any]) -> Any:
    """Gives what an act in a forked process gives, which must fit into JSON.

    Raises:
        RuntimeError: When the process does not come to its end.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.close(receive)
            faulthandler.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            said = json.dumps(act()).encode()
            while said:
                said = said[os.write(send, said) :]
            code = 0
        except BaseException:  # noqa: BLE001 - the child must not go on with the tests of its parent
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(send)
    with os.fdopen(receive) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError(f"the process ended with {os.waitstatus_to_exitcode(status)}")
    return json.loads(said)


def watched(paths: Sequence[Path], limits: Limits = Limits(), *, memory: int = 2 << 30) -> Watched:  # noqa: B008
    """Opens files in a watched process that may take only so much memory more."""

    def act(ear: _Ear) -> list[Outcome]:
        return [_open(path, limits, ear) for path in paths]

    return _in_a_watched_process(act, memory)


def watched_contents(contents: Iterable[bytes], path: Path, reader: Reader = open_file) -> Watched:
    """Reads contents as `watched` does, one after the other under the same path; keeps those outcomes that are wrong.

    The content of a wrong outcome stays beside the path, under its number.
    """

    def act(ear: _Ear) -> list[Outcome]:
        wrong: list[Outcome] = []
        for content in contents:
            path.write_bytes(content)
            outcome = _open(path, Limits(), ear, reader)
            if (
                outcome.heard
                or outcome.error.startswith("unexpected")
                or "\n" in outcome.message
                or outcome.seconds > 10
            ):
                path.with_suffix(f".{len(wrong)}").write_bytes(content)
                wrong.append(outcome)
        return wrong

    return _in_a_watched_process(act, 2 << 30)


def _in_a_watched_process(watch: Callable[[_Ear], list[Outcome]], memory: int) -> Watched:
    def act() -> Any:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + memory, size + memory))
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
        before = _peak()
        ear = _Ear()
        sys.addaudithook(ear)
        outcomes = watch(ear)
        return {"outcomes": [asdict(outcome) for outcome in outcomes], "grown": _peak() - before}

    said = in_a_process(act)
    return Watched([Outcome(**outcome) for outcome in said["outcomes"]], said["grown"])


def _peak() -> int:
    """Gives the most bytes of memory that this process had at any time."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _open(path: Path, limits: Limits, ear: _Ear, reader: Reader = open_file) -> Outcome:
    started = time.monotonic()
    error, message = "", ""
    ear.heard, ear.listening = [], str(path)
    try:
        reader(path, limits)
    except CheckpointError as caught:
        error, message = type(caught).__name__, str(caught)
    except BaseException as caught:  # noqa: BLE001 - whatever it is, it must not be
        error, message = f"unexpected {type(caught).__name__}", "".join(traceback.format_exception(caught))
    finally:
        ear.listening = ""
    return Outcome(error, message, time.monotonic() - started, ear.heard)


class _Trusting(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return os.system(pid)


def trusted(attack: Attack, folder: Path) -> None:
    """Loads an attack in a process of its own, in a folder, with the loader that trusts it."""

    def act() -> None:
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        copyreg.add_extension("posix", "system", EXTENSION)
        with suppress(Exception):  # many attacks leave a mess behind them
            if attack.loader == "pickle":
                pickle.loads(attack.data)
            elif attack.loader == "trusting":
                _Trusting(io.BytesIO(attack.data)).load()
            else:
                (folder / "attack").write_bytes(attack.data)
                torch.load(folder / "attack", weights_only=False)

    in_a_process(act)
