"""Which records a checkpoint file will have, and where each of them will lie, before any byte is written."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from holdfast.checkpoint.encoding import Encoded
from holdfast.checkpoint.layout import Layout, arrange
from holdfast.checkpoint.manifest import MANIFEST_LENGTH
from holdfast.checkpoint.memory import as_buffer
from holdfast.checkpoint.snapshot import Snapshot
from holdfast.errors import CheckpointError

ROOT = "holdfast/"
"""The folder inside the archive; it also marks a file as ours, at its first bytes and near its last."""
SKELETON = f"{ROOT}data.pkl"
MANIFEST = f"{ROOT}manifest.json"
CONSTANTS = {f"{ROOT}byteorder": b"little", f"{ROOT}version": b"3\n"}
"""Records that `torch.load` asks for, with their contents."""
STORAGES_FROM = 1 + len(CONSTANTS)
"""The position of the first tensor storage among the records."""


@dataclass(frozen=True)
class Plan:
    """The places of all records, and the contents of all but the last, which is the manifest."""

    layout: Layout
    skeleton: Encoded
    """The content of the first record."""
    contents: tuple[memoryview, ...]
    """Those of the records between the first and the last."""


def record_names(count: int) -> list[str]:
    """Gives the names of the records, in order, of a file with `count` records."""
    storages = [f"{ROOT}data/{index}" for index in range(count - STORAGES_FROM - 1)]
    return [SKELETON, *CONSTANTS, *storages, MANIFEST]


def plan_of(snapshot: Snapshot) -> Plan:
    """Gives the plan of the file that holds a snapshot.

    Raises:
        CheckpointError: On a machine whose numbers have their highest byte first.
    """
    if sys.byteorder != "little":
        raise CheckpointError("The machine must be little-endian, but this one is not; save on another machine.")
    contents = (*map(memoryview, CONSTANTS.values()), *map(as_buffer, snapshot.storages))
    lengths = [snapshot.skeleton.length, *(content.nbytes for content in contents), MANIFEST_LENGTH]
    layout = arrange(list(zip(record_names(len(lengths)), lengths, strict=True)))
    return Plan(layout, snapshot.skeleton, contents)
