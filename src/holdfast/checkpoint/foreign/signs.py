"""Files that are often taken for a checkpoint, told by their first bytes."""

from __future__ import annotations

import mmap

from holdfast.checkpoint.foreign.refusals import Broken

_TAR_AT = 257
_HEAD = 512


def refuse_other_kinds(data: mmap.mmap) -> None:
    """Refuses what is certainly no pickle.

    Raises:
        Broken: With what it is, and what to do.
    """
    head = data[:_HEAD]
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        raise Broken(
            "it is a tar archive, as PyTorch wrote before 0.2 or a folder was packed into",
            "unpack it, or load it with the program that wrote it and save it anew",
        )
    for sign, what, advice in _SIGNS:
        if head.lstrip().lower().startswith(sign) if sign.startswith(b"<") else head.startswith(sign):
            raise Broken(what, advice)


_SIGNS = (
    (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file", "read it with the program that wrote it and save a state dict"),
    (b"\x1f\x8b", "it is compressed with gzip", "unpack it first"),
    (b"BZh", "it is compressed with bzip2", "unpack it first"),
    (b"\xfd7zXZ", "it is compressed with xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd", "unpack it first"),
    (b"\x93NUMPY", "it is an array of NumPy", "load it with `numpy.load(..., allow_pickle=False)`"),
    (b"PK", "it is an empty or divided zip archive", "fetch or copy it again"),
    (b"version https://git-lfs", "it is only a pointer of Git LFS to the file", "fetch the file with `git lfs pull`"),
    (b"<!doctype html", "it is a web page", "fetch it again: what came was a page about it"),
    (b"<html", "it is a web page", "fetch it again: what came was a page about it"),
)
