"""Zip archives of PyTorch, taken apart and put together again with anything in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import torch


def saved(value: Any, *, old: bool = False, protocol: int = 2) -> bytes:
    """Gives the file that PyTorch writes for a value."""
    file = io.BytesIO()
    torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=not old)
    return file.getvalue()


def records_of(archive: bytes) -> dict[str, bytes]:
    """Gives the contents of an archive by their names."""
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(records: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Gives an archive of records, with their real checksums."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, content in records.items():
            file.writestr(name, content)
    return archive.getvalue()


def with_pickle(data: bytes, records: Mapping[str, bytes] | None = None) -> bytes:
    """Gives an archive as PyTorch would read it, around a pickle."""
    return packed(
        {"archive/data.pkl": data, "archive/version": b"3\n", "archive/byteorder": b"little"} | (records or {})
    )
