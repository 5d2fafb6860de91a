"""From a file of somebody else to plain values, without running a byte of it.

kind of the file -> inert nodes -> plain values -> a survey of what they would cost to walk through
"""

from __future__ import annotations

import gc
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.checkpoint.foreign.cursor import Cursor
from holdfast.checkpoint.foreign.known_numpy import NUMPY
from holdfast.checkpoint.foreign.known_python import PYTHON
from holdfast.checkpoint.foreign.known_torch import TORCH
from holdfast.checkpoint.foreign.limits import Limits, Spending
from holdfast.checkpoint.foreign.machine import interpret
from holdfast.checkpoint.foreign.refusals import Broken, Damage, Refusal, Trap
from holdfast.checkpoint.foreign.safetensors import looks_like_safetensors, read_safetensors
from holdfast.checkpoint.foreign.signs import refuse_other_kinds
from holdfast.checkpoint.foreign.survey import survey
from holdfast.checkpoint.foreign.torch_old import MAGIC, OldFile
from holdfast.checkpoint.foreign.torch_zip import ZipFile
from holdfast.checkpoint.foreign.translate import Storages, Translation
from holdfast.checkpoint.foreign.zip_directory import FIRST_BYTES
from holdfast.errors import CheckpointError, DamagedCheckpoint, UnreadableFile, UnsafeFile

__all__ = ["Opened", "open_file"]

_WITHOUT_RESERVATION: int | None = getattr(mmap, "MAP_NORESERVE", None)
"""Files may be larger than memory, and hardly a page of them is ever written to."""
_SMALLER = "set a smaller `Limits.depth`, or open it with fewer functions around"
_LARGER = "open it on a larger machine if you trust it"
_KNOWN = PYTHON.and_also(NUMPY).and_also(TORCH)


@dataclass(frozen=True, slots=True)
class Opened:
    """A foreign file as plain values."""

    path: Path
    container: str
    """What kind of file it is, in words: `a zip archive of PyTorch`."""
    content: Any
    """Plain values only: dict, list, tuple, set, frozenset, str, bytes, int, float, complex, bool, None, tensors on
    the CPU, and `Opaque`. A value that stands in several places of the file does so here, too."""
    opaque: tuple[str, ...]
    """The names of the classes that stayed opaque, sorted, each once."""


def open_file(path: str | os.PathLike[str], limits: Limits = Limits()) -> Opened:  # noqa: B008 - it is frozen
    """Gives what a file holds, as plain values, without running a byte of it.

    Tensors are views of the file, mapped into memory, wherever their bytes are well aligned: changing one changes
    neither the file nor others that do not share its storage, but the file must not be shortened while they are used.

    Raises:
        UnsafeFile: When reading the file would need more than looking at it, or it asks for too much.
        UnreadableFile: When it is of none of the kinds that can be read, or cut off.
        DamagedCheckpoint: When bytes do not have the checksum that the file gives for them.
        OSError: When it cannot be opened.
    """
    place = Path(path)
    try:
        with _mapped(place) as data, _no_collector():
            spending = Spending(limits, len(data))
            container, content = _read(data, spending)
            return Opened(place, container, content, survey(content, spending))
    except Refusal as refusal:
        raise _in_words(place, refusal) from refusal
    except RecursionError as error:
        raise _in_words(place, Trap("it is nested too deeply for this program", _SMALLER)) from error
    except MemoryError as error:
        raise _in_words(place, Trap("it does not fit into memory", _LARGER)) from error


@contextmanager
def _no_collector() -> Iterator[None]:
    """Lets the garbage collector rest: it would look at the growing nodes again and again, and find nothing."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()


def _in_words(path: Path, refusal: Refusal) -> CheckpointError:
    if isinstance(refusal, Damage):
        return DamagedCheckpoint(f"`{path}` must hold the bytes that were written, but {refusal}; {refusal.advice}.")
    kind = UnsafeFile if isinstance(refusal, Trap) else UnreadableFile
    return kind(f"`{path}` must be a checkpoint that can be read without running it, but {refusal}; {refusal.advice}.")


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """Gives the bytes of a file; what is written to them stays in memory. They live as long as somebody uses them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise Broken("it is a folder", "name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise Broken("it is not an ordinary file", "name a file")
        if status.st_size == 0:
            raise Broken("it is empty")
        data = _map(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    yield data


def _map(descriptor: int, size: int) -> mmap.mmap:
    if _WITHOUT_RESERVATION is None:
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
    flags = mmap.MAP_PRIVATE | _WITHOUT_RESERVATION
    return mmap.mmap(descriptor, size, flags=flags, prot=mmap.PROT_READ | mmap.PROT_WRITE)


def _read(data: mmap.mmap, spending: Spending) -> tuple[str, Any]:
    """Gives the kind of a file in words, and what it holds."""
    if data[: len(FIRST_BYTES)] == FIRST_BYTES:
        archive = ZipFile(data, spending)
        return archive.container, _translated(archive.content, spending, archive.storage)
    if looks_like_safetensors(data):
        return "a safetensors file", read_safetensors(data, spending)
    refuse_other_kinds(data)
    cursor = Cursor(data)
    content = interpret(cursor, spending)
    if type(content) is int and content == MAGIC:
        file = OldFile(data, spending)
        return "a file of PyTorch before 1.6", _translated(file.content, spending, file.storage)
    if cursor.position != cursor.end:
        raise Broken("something follows behind the end of its pickle", "split it into files of one pickle each")
    return "a pickle", _translated(content, spending, None)


def _translated(content: Any, spending: Spending, storages: Storages | None) -> Any:
    return Translation(_KNOWN, spending, storages).plain(content)
