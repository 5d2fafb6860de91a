"""What the kernel was really asked to do, and faults that it reports itself: strace on a forked process."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.order import ACKNOWLEDGED, Event

CALLS = (
    *("openat", "mkdir", "mkdirat", "write", "writev", "pwrite64", "pwritev", "ftruncate", "fallocate", "fsync"),
    *("fdatasync", "copy_file_range", "rename", "renameat", "renameat2", "link", "linkat", "unlink", "unlinkat"),
    *("access", "faccessat", "faccessat2"),
)
_SAID = "/is-saved"
_ANYBODY = ctypes.c_ulong(-1 & (1 << 64) - 1)
_SET_PTRACER = 0x59616D61


@dataclass(frozen=True)
class Kernel:
    """One system call that has ended."""

    name: str
    arguments: str
    result: int

    @property
    def paths(self) -> list[str]:
        """Gives the paths among its arguments; that of a descriptor when there are no others."""
        return re.findall(r'(?<!<)"([^"]+)"', self.arguments) or re.findall(r"^\d+<([^>]*)>", self.arguments)


def say_saved() -> None:
    """Leaves a mark in the trace: here the program says that all it has done is saved."""
    os.access(_SAID, os.F_OK)


def traced(act: Callable[[], object], log: Path, *injections: str) -> tuple[int, list[Kernel]]:
    """Does something in a forked process under strace.

    Args:
        act: What is done; only this is traced.
        log: Where strace writes.
        injections: Faults in strace's own words, such as `fsync:error=EIO:when=2`.

    Returns:
        The exit code (99 after an exception), or minus the signal that ended the process; and what was called.
    """
    child = os.fork()
    if child == 0:
        _be_traced(act)
    os.waitpid(child, os.WUNTRACED)
    chosen = [word for injection in injections for word in ("-e", f"inject={injection}")]
    trace = f"trace={','.join(f'?{name}' for name in CALLS)}"
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", trace, *chosen, "-p", str(child)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        first = strace.stderr.readline()
        os.kill(child, signal.SIGCONT)
        status = os.waitpid(child, 0)[1]
        rest = strace.stderr.read()
    if "attached" not in first:
        raise PermissionError(first.strip() + rest.strip())
    return os.waitstatus_to_exitcode(status), list(calls_in(log.read_text().splitlines()))


def _be_traced(act: Callable[[], object]) -> None:
    try:
        ctypes.CDLL(None).prctl(_SET_PTRACER, _ANYBODY, 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        act()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the child must not go on with the tests of its parent
        traceback.print_exc()
        os._exit(99)


def reason_against(folder: Path) -> str | None:
    """Says why nothing can be traced here; None when it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    try:
        traced(lambda: None, folder / "trace")
    except PermissionError as error:
        return f"strace may not trace here: {error}"
    return None


def calls_in(lines: Sequence[str]) -> Iterator[Kernel]:
    """Gives the calls in a log of strace, in the order in which they ended; the last one of a killed process is not."""
    begun: dict[str, str] = {}
    for line in lines:
        process, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            begun[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            text = begun.pop(process) + text[resumed.end() :]
        if found := re.fullmatch(r"(\w+)\((.*)\)\s+= (-?\d+)(.*)", text):
            yield Kernel(found[1], found[2], int(found[3]))


def events_of(calls: Sequence[Kernel], folder: Path) -> list[Event]:
    """Gives the events below a folder that have succeeded, and the marks of `say_saved`."""
    events: list[Event] = []
    for call in calls:
        if call.paths and call.paths[0] == _SAID:
            events.append(ACKNOWLEDGED)
        elif call.result >= 0 and call.paths and call.paths[0].startswith(str(folder)):
            events += _event(call)
    return events


def _event(call: Kernel) -> list[Event]:
    path = call.paths[0]
    if call.name == "openat":
        return [Event("create", path)] if re.search(r"O_CREAT|O_TRUNC", call.arguments) else []
    if call.name.startswith(("rename", "link")):
        return [Event("rename" if call.name.startswith("rename") else "link", path, call.paths[1])]
    if call.name in ("access", "faccessat", "faccessat2"):
        return []
    kinds = {"mkdir": "folder", "mkdirat": "folder", "unlink": "remove", "unlinkat": "remove"}
    kinds |= {"fsync": "sync", "fdatasync": "sync"}
    return [Event(kinds.get(call.name, "write"), path)]  # pyright: ignore[reportArgumentType] - one of its words
