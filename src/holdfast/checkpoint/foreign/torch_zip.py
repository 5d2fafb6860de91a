"""Files of PyTorch since 1.6: a zip archive with one pickle, and one record for the bytes of each storage."""

from __future__ import annotations

import mmap

from holdfast.checkpoint.checksum import crc32, crc32_of_each, threads_to_use
from holdfast.checkpoint.foreign.cursor import Cursor
from holdfast.checkpoint.foreign.graph import StorageId
from holdfast.checkpoint.foreign.limits import Spending
from holdfast.checkpoint.foreign.machine import interpret
from holdfast.checkpoint.foreign.parts import Part
from holdfast.checkpoint.foreign.refusals import Broken, Damage, Refusal, Trap, shown
from holdfast.checkpoint.foreign.storages import dtype_of, part_of, storage_id
from holdfast.checkpoint.foreign.tensors import Bytes, mapped
from holdfast.checkpoint.foreign.zip_directory import ZipRecord, read_records
from holdfast.checkpoint.plan import MANIFEST

_PICKLE = "/data.pkl"
_BYTE_ORDERS = {b"little": False, b"big": True}
_NAMES_SHOWN = 3


class ZipFile:
    """The nodes in such a file, and the bytes of its tensors, mapped into memory.

    Args:
        data: All bytes of the file.
        spending: What the file has cost so far.

    Raises:
        Broken: When it is cut off, or another kind of archive.
        Trap: When it is not as PyTorch writes it, or costs too much.
        Damage: When a record does not have its checksum.
    """

    def __init__(self, data: mmap.mmap, spending: Spending) -> None:
        self._data = data
        self._spending = spending
        self._records = read_records(data, spending.limits)
        self._folder = _folder_of(self._records)
        self._stored: dict[str, Bytes] = {}
        self.has_checksums = _check_all(data, list(self._records.values()))
        order = self._content("byteorder") or b"little"
        if order not in _BYTE_ORDERS:
            raise Trap("its numbers have an unknown order of bytes")
        self._is_swapped = _BYTE_ORDERS[order]
        cursor = Cursor(self._content("data.pkl"))
        self.content = interpret(cursor, spending, storage_id)
        if cursor.position != cursor.end:
            raise Trap("its pickle goes on behind its end")

    @property
    def container(self) -> str:
        """Gives what kind of archive it is, in words."""
        if MANIFEST in self._records:
            return "a checkpoint of Holdfast"
        return "a zip archive of PyTorch" + ("" if self.has_checksums else " without checksums")

    def storage(self, reference: StorageId) -> Part:
        """Gives the bytes that a reference stands for.

        Raises:
            Trap: When they are not there, or are not as many as the reference says.
        """
        dtype = dtype_of(reference.kind)
        record = self._records.get(f"{self._folder}/data/{reference.key}")
        if record is None or record.length != reference.count * dtype.itemsize or reference.view is not None:
            raise Trap("it has a tensor whose bytes are missing, or not as many as it says")
        if record.name not in self._stored:
            memory = mapped(self._data, record.start, record.length)
            self._stored[record.name] = Bytes(memory, is_swapped=self._is_swapped)
        return part_of(self._stored[record.name], dtype, self._spending)

    def _content(self, name: str) -> bytes:
        """Gives the content of a small record; nothing for one that does not exist."""
        record = self._records.get(f"{self._folder}/{name}")
        if record is None:
            return b""
        if record.length > self._spending.limits.pickle_bytes:
            raise Trap(f"its record `{name}` has more than {self._spending.limits.pickle_bytes} bytes")
        return self._data[record.start : record.start + record.length]


def _folder_of(records: dict[str, ZipRecord]) -> str:
    """Gives the folder that the pickle lies in; it may have any name."""
    folders = [name.removesuffix(_PICKLE) for name in records if name.endswith(_PICKLE) and name.count("/") == 1]
    if len(folders) != 1:
        raise _other_archive(records)
    (folder,) = folders
    if f"{folder}/constants.pkl" in records or any(name.startswith(f"{folder}/code/") for name in records):
        raise Broken(
            "it is a TorchScript archive, which is a program",
            "save its weights with `torch.save(torch.jit.load(...).state_dict(), ...)` if you trust it",
        )
    return folder


def _other_archive(records: dict[str, ZipRecord]) -> Refusal:
    names = ", ".join(shown(name) for name in list(records)[:_NAMES_SHOWN]) or "nothing"
    return Broken(
        f"it is a zip archive that PyTorch's `save` did not write (it holds {names}"
        f"{', ...' if len(records) > _NAMES_SHOWN else ''})",
        "unpack it if the checkpoint lies inside",
    )


def _check_all(data: mmap.mmap, records: list[ZipRecord]) -> bool:
    """Checks the bytes of all records; says whether there are checksums at all.

    PyTorch can be told to write none; it writes zeros then, for every record.
    """
    if not any(record.checksum for record in records):
        return False
    view = memoryview(data)

    def piece(number: int, start: int, stop: int, so_far: int) -> int:
        first = records[number].start
        return crc32(view[first + start : first + stop], so_far)

    found = crc32_of_each([record.length for record in records], piece, threads=threads_to_use())
    for record, checksum in zip(records, found, strict=True):
        if checksum != record.checksum:
            raise Damage(
                f"its record `{shown(record.name)}` has the checksum {checksum:08x}, not {record.checksum:08x}"
            )
    return True
