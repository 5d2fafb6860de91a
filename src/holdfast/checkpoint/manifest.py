"""The last record of a checkpoint: which format it has, and one digest over all other records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from holdfast.checkpoint.layout import Record
from holdfast.errors import CheckpointError

FORMAT = "holdfast checkpoint"
FORMAT_VERSION = 1


def digest_of(records: Sequence[Record], checksums: Sequence[int]) -> str:
    """Gives the SHA-256 of the names, lengths and checksums of records, in order."""
    lines = [
        f"{record.name} {record.length} {checksum:08x}\n" for record, checksum in zip(records, checksums, strict=True)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest(digest: str) -> bytes:
    """Gives the content of the manifest; its length is always the same."""
    return json.dumps({"format": FORMAT, "version": FORMAT_VERSION, "digest": f"sha256:{digest}"}).encode()


MANIFEST_LENGTH = len(manifest("0" * 64))


def refuse_newer(content: bytes) -> None:
    """Makes sure that a manifest whose bytes are as written is not of a version that this Holdfast cannot know.

    Raises:
        CheckpointError: With the version, when it is newer.
    """
    try:
        version = json.loads(content)["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(
            f"`version` of the file's format must be at most {FORMAT_VERSION}, but got {version}; "
            f"read it with a newer Holdfast."
        )
