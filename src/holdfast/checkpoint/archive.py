"""The checkpoint file: written with a checksum on every byte, read only after every byte has been checked.

It is an ordinary file of PyTorch, too: plain `torch.load(path, weights_only=True)` opens it, mapped or not, and any
zip tool can test it. It holds plain values and tensors only, so reading it never runs code.

    state -> snapshot -> plan of records -> sink        writing; each step can be replaced by itself
    file -> index -> checked bytes -> state             reading
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor

from holdfast.checkpoint import snapshot
from holdfast.checkpoint.checksum import threads_to_use
from holdfast.checkpoint.memory import as_buffer, fresh, is_laid_out_as, memory_of, tensor_in
from holdfast.checkpoint.plain import KeyPath, spell
from holdfast.checkpoint.plan import Plan, plan_of
from holdfast.checkpoint.reading import Index, OpenFile, opened, read_index, read_skeleton
from holdfast.checkpoint.skeleton import SkeletonError, TensorNote, decode, notes_in, with_tensors
from holdfast.checkpoint.storages import CheckedBytes, check_storages, read_storages
from holdfast.checkpoint.writing import WriteReport, write_plan
from holdfast.errors import CheckpointMismatch

__all__ = [
    "Checked",
    "Destination",
    "Plan",
    "WriteReport",
    "checked",
    "plan",
    "read",
    "read_counters",
    "verify",
    "write",
]

Destination: TypeAlias = Callable[[KeyPath], Tensor | None]
"""Gives the live tensor for a place of the state, or None for fresh memory; the `get` of a dictionary is one."""


def plan(state: Mapping[str, Any]) -> Plan:
    """Gives every record of the file that would hold `state`, its place and length, and the file's size.

    The plan refers to the tensors' own memory where it is on the CPU: write it before they change.

    Raises:
        CheckpointError: For a value that is neither plain nor a dense tensor, with its place and what to do.
    """
    return plan_of(snapshot.take(state))


def write(descriptor: int, state: Mapping[str, Any]) -> WriteReport:
    """Writes `state` to an open, empty file; the caller makes it durable.

    Raises:
        CheckpointError: For a value that is neither plain nor a dense tensor; nothing has been written then.
        OSError: When there is no space (before anything is written) or writing fails.
    """
    return write_plan(descriptor, plan(state))


def verify(path: str | os.PathLike[str], *, threads: int | None = None) -> None:
    """Checks every byte of a checkpoint.

    Raises:
        DamagedCheckpoint: When a byte is not what was written; it names the file, the record and the tensor.
        CheckpointError: When the file is not a checkpoint of Holdfast, or of a newer format.
        OSError: When the file cannot be read.
    """
    with opened(path) as file:
        index = read_index(file)
        check_storages(file, index, threads=threads or threads_to_use())
        _decoded(file, index)


def read(path: str | os.PathLike[str], *, threads: int | None = None) -> dict[str, Any]:
    """Gives the state in a checkpoint, every byte checked, with tensors in fresh memory on the CPU.

    Raises:
        DamagedCheckpoint, CheckpointError, OSError: As `verify` does.
    """
    with opened(path) as file:
        index = read_index(file)
        memory = [fresh(record.length) for record in index.storages]
        read_storages(file, index, [as_buffer(one) for one in memory], threads=threads or threads_to_use())
        state = _decoded(file, index)
    return with_tensors(state, lambda _, note: tensor_in(memory[note.storage], note))


def read_counters(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Gives the numbers, strings and so on at the top of the state in a checkpoint, without reading its tensors.

    Everything but the bytes of the tensors is checked.

    Raises:
        DamagedCheckpoint, CheckpointError, OSError: As `verify` does.
    """
    with opened(path) as file:
        index = read_index(file)
        state = _decoded(file, index)
    return {key: value for key, value in state.items() if value is None or isinstance(value, str | int | float)}


class Checked:
    """A checkpoint of which every byte has been checked, and whose tensors have still to be brought into memory."""

    def __init__(self, file: OpenFile, index: Index, *, threads: int) -> None:
        self._index = index
        self._bytes = CheckedBytes(file, index, threads=threads)
        self._state = _decoded(file, index)

    def outline(self) -> dict[str, Any]:
        """Gives the state with tensors on the device "meta": they have a shape and a type, but no bytes."""
        return with_tensors(self._state, _without_bytes)

    def load(self, destination: Destination) -> dict[str, Any]:
        """Gives the state, with live tensors filled and standing in their places.

        Tensors that the file and the program lay out alike are read without a copy.

        Raises:
            CheckpointMismatch: When a live tensor has another shape or type than the one in the file.
            DamagedCheckpoint, OSError: As `verify` does, when the file was changed since it was checked; only then
                may live tensors have been changed.
        """
        live = _live_tensors(self._state, destination)
        memory = _memory_for(self._state, self._index, live)
        self._bytes.read_into([as_buffer(one) for one in memory])

        def fill(path: KeyPath, note: TensorNote) -> Tensor:
            stored, target = tensor_in(memory[note.storage], note), live.get(path)
            if target is None:
                return stored
            if target.data_ptr() != stored.data_ptr():
                target.detach().copy_(stored)
            return target

        return with_tensors(self._state, fill)


@contextmanager
def checked(path: str | os.PathLike[str], *, threads: int | None = None) -> Iterator[Checked]:
    """Opens a checkpoint and checks every byte of it, so that one can look at it before anything is touched.

    Raises:
        DamagedCheckpoint, CheckpointError, OSError: As `verify` does.
    """
    with opened(path) as file:
        yield Checked(file, read_index(file), threads=threads or threads_to_use())


def _without_bytes(path: KeyPath, note: TensorNote) -> Tensor:
    return torch.empty_strided(note.size, note.stride, dtype=note.dtype, device="meta")


def _decoded(file: OpenFile, index: Index) -> dict[str, Any]:
    """Gives the checked state with notes in the places of tensors, each of which fits its storage."""
    try:
        state = decode(read_skeleton(file, index))
        for path, note in notes_in(state):
            fits = note.storage < len(index.storages) and note.storage_length == index.storages[note.storage].length
            if not fits or note.stop() > note.storage_length:
                raise SkeletonError(f"the tensor `{spell(path)}` does not fit its storage")
        if type(state) is not dict:
            raise SkeletonError("it is not a dictionary")
    except SkeletonError as error:
        raise file.damaged(f"its skeleton is not one that Holdfast writes ({error})") from error
    return state


def _live_tensors(state: Any, destination: Destination) -> dict[KeyPath, Tensor]:
    """Gives the live tensors for the tensors in the file, after making sure that they fit."""
    live: dict[KeyPath, Tensor] = {}
    for path, note in notes_in(state):
        target = destination(path)
        if target is None:
            continue
        if tuple(target.shape) != note.size or target.dtype != note.dtype:
            raise CheckpointMismatch(
                f"`{spell(path)}` must have the shape and type of the one in the file, {note.size} {note.dtype}, "
                f"but got {tuple(target.shape)} {target.dtype}; build the model that was saved."
            )
        live[path] = target
    return live


def _memory_for(state: Any, index: Index, live: Mapping[KeyPath, Tensor]) -> list[Tensor]:
    """Gives the bytes that each storage is read into: those of a live tensor laid out alike, else fresh memory."""
    memory: dict[int, Tensor] = {}
    taken: set[int] = set()
    widest: dict[int, int] = {}
    for _, note in notes_in(state):
        widest[note.storage] = max(widest.get(note.storage, 1), note.dtype.itemsize)
    for path, note in notes_in(state):
        target = live.get(path)
        if target is None or note.storage in memory or not is_laid_out_as(target, note):
            continue
        # Another tensor in the same storage may have wider numbers, which must begin at a whole one.
        if int(target.storage_offset()) * target.dtype.itemsize % widest[note.storage]:
            continue
        # Where two live tensors are one but those in the file are two, only one may be read into it.
        if target.data_ptr() not in taken:
            taken.add(target.data_ptr())
            memory[note.storage] = memory_of(target)
    return [
        memory[number] if number in memory else fresh(record.length) for number, record in enumerate(index.storages)
    ]
