"""Files of PyTorch before 1.6: five pickles in a row, and then the bytes of every storage behind its length.

magic number, version, system, content, keys of the storages, (length, bytes) for each of them
"""

from __future__ import annotations

import mmap
from typing import Any

import torch

from holdfast.checkpoint.foreign.cursor import Cursor
from holdfast.checkpoint.foreign.graph import Name, StorageId, Table
from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.machine import interpret
from holdfast.checkpoint.foreign.parts import Part
from holdfast.checkpoint.foreign.refusals import Broken, Trap
from holdfast.checkpoint.foreign.storages import dtype_of, part_of, storage_id
from holdfast.checkpoint.foreign.tensors import Bytes, mapped

MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_LENGTH_BYTES = 8


class OldFile:
    """The nodes in such a file, and the bytes of its tensors.

    Args:
        data: All bytes of the file.
        spending: What the file has cost so far.

    Raises:
        Broken: When it is cut off.
        Trap: When it is not as PyTorch writes it, or costs too much.
    """

    def __init__(self, data: bytes | mmap.mmap, spending: Spending) -> None:
        self._spending = spending
        self._kinds: dict[str, torch.dtype] = {}
        cursor = Cursor(data)
        head = [interpret(cursor, spending) for _ in range(3)]
        if type(head[0]) is not int or head[:2] != [MAGIC, _VERSION] or type(head[2]) is not Table:
            raise Broken(f"it does not start as a file of PyTorch with the version {_VERSION}")
        self._is_swapped = head[2].get("little_endian") is False
        self.content = interpret(cursor, spending, self._persistent)
        keys = interpret(cursor, spending)
        if type(keys) is not list or not all(type(key) is str for key in keys) or len(set(keys)) != len(keys):
            raise Trap("its list of tensors is not as PyTorch writes it")
        self._stored = {key: self._next_storage(cursor, key) for key in keys}
        if cursor.position != cursor.end:
            raise Broken(f"{cursor.end - cursor.position} bytes follow behind its end")

    def storage(self, reference: StorageId) -> Part:
        """Gives the bytes that a reference stands for.

        Raises:
            Trap: When they are not there, or are not as many as the reference says.
        """
        stored, dtype = self._stored.get(reference.key), dtype_of(reference.kind)
        if stored is None or stored.length != reference.count * dtype.itemsize:
            raise Trap("it has a tensor whose bytes are missing, or not as many as it says")
        if reference.view is not None:
            _, start, count = reference.view
            stored = stored.between(start * dtype.itemsize, (start + count) * dtype.itemsize)
        return part_of(stored, dtype, self._spending)

    def _persistent(self, node: Any) -> Any:
        match node:
            case ("module", Name() as name, _, _):  # a class of a network, with its source as a comment
                return name
        reference = storage_id(node)
        self._kinds.setdefault(reference.key, dtype_of(reference.kind))
        return reference

    def _next_storage(self, cursor: Cursor, key: str) -> Bytes:
        dtype = self._kinds.get(key)
        if dtype is None:
            raise Trap("it has bytes of tensors that no tensor refers to")
        count = int.from_bytes(cursor.take(_LENGTH_BYTES), "big" if self._is_swapped else "little")
        start, length = cursor.position, count * dtype.itemsize
        cursor.skip(length)
        return Bytes(mapped(cursor.data, start, length), is_swapped=self._is_swapped)


def storage_in(data: bytes, spending: Spending) -> Part:
    """Gives the one storage that such a file consists of (raises like `OldFile`)."""
    file = OldFile(data, spending)
    if type(file.content) is not StorageId:
        raise Trap("it has a tensor whose bytes are not only bytes")
    return file.storage(file.content)
