"""Whether the tensors in a checkpoint fit those of a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from holdfast.errors import CheckpointMismatch

_NAMED_AT_MOST = 5


def check_fit(part: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Compares the names and shapes of two state dicts.

    Args:
        part: What the message calls the saved one.
        ours: The state dict of the program.
        theirs: The state dict of the checkpoint.

    Raises:
        CheckpointMismatch: Naming what is missing, unexpected or of another shape.
    """
    problems = [f"{name} is missing" for name in ours if name not in theirs]
    problems += [f"{name} is not in the model" for name in theirs if name not in ours]
    for name, tensor in ours.items():
        other = theirs.get(name)
        if isinstance(tensor, Tensor) and isinstance(other, Tensor) and tensor.shape != other.shape:
            problems.append(f"{name} is {list(other.shape)} instead of {list(tensor.shape)}")
    if problems:
        hidden = len(problems) - _NAMED_AT_MOST
        more = f" and {hidden} more" if hidden > 0 else ""
        raise CheckpointMismatch(
            f"`{part}` must fit the model, but {'; '.join(problems[:_NAMED_AT_MOST])}{more}; "
            "build the model that was saved."
        )
