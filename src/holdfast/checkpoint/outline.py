"""A checkpoint of ours without the bytes of its tensors: quick to read, however large the file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from holdfast.checkpoint.reading import opened, read_index, read_skeleton
from holdfast.checkpoint.skeleton import SkeletonError, decode, with_tensors


def outline(path: Path) -> dict[str, Any]:
    """Gives the state in a checkpoint with tensors that have a shape and a type, but no values (on `meta`).

    Everything but the bytes of the tensors is checked.

    Raises:
        DamagedCheckpoint, CheckpointError, OSError: As `archive.verify` does.
    """
    with opened(path) as file:
        index = read_index(file)
        try:
            state = decode(read_skeleton(file, index))
        except SkeletonError as error:
            raise file.damaged(f"its skeleton is not one that Holdfast writes ({error})") from error
    if type(state) is not dict:
        raise file.damaged("its skeleton is not one that Holdfast writes (it is not a dictionary)")
    return with_tensors(state, lambda _, note: torch.empty(note.size, dtype=note.dtype, device="meta"))
