"""Whether the tensors in a checkpoint fit those of a program."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from holdfast.errors import CheckpointMismatch

_NAMED_AT_MOST = 5
_SHAPED_AS_PARAMETERS = ("momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
"""Moments that have the shape of their parameter (some optimizers keep others, in shapes of their own)."""


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
        is_fixed = isinstance(tensor, Tensor) and _has_fixed_shape(name, tensor)
        if is_fixed and isinstance(other, Tensor) and tensor.shape != other.shape:
            problems.append(f"{name} is {list(other.shape)} instead of {list(tensor.shape)}")
    if problems:
        hidden = len(problems) - _NAMED_AT_MOST
        more = f" and {hidden} more" if hidden > 0 else ""
        raise CheckpointMismatch(
            f"`{part}` must fit the model, but {'; '.join(problems[:_NAMED_AT_MOST])}{more}; "
            "build the model that was saved."
        )


def is_beside_weights(name: str) -> bool:
    """Says whether a state dict holds under this name what a module gives as its extra state."""
    return name.rpartition(".")[2] == "_extra_state"


def check_optimizer_fit(part: str, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Compares a saved optimizer state with the parameters of an optimizer.

    Raises:
        CheckpointMismatch: When the groups or the moments of a parameter have another size.
    """
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    saved_sizes = [len(group["params"]) for group in state["param_groups"]]
    if sizes != saved_sizes:
        raise CheckpointMismatch(
            f"`{part}` must hold parameter groups of {sizes} parameters, but got {saved_sizes}; "
            "use the configuration that it was saved with."
        )
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, values in state["state"].items():
        for name, value in values.items():
            if name not in _SHAPED_AS_PARAMETERS or value is None or is_lazy(parameters[number]):
                continue
            if value.shape != parameters[number].shape:
                raise CheckpointMismatch(
                    f"`{part}` must fit the parameters, but {name} of parameter {number} is "
                    f"{list(value.shape)} instead of {list(parameters[number].shape)}; "
                    "use the configuration that it was saved with."
                )


def versions_of(weights: Mapping[str, Any]) -> dict[str, int]:
    """Gives the versions that modules note beside their weights, by the name of the module."""
    metadata = getattr(weights, "_metadata", {})
    return {name: one["version"] for name, one in metadata.items() if isinstance(one.get("version"), int)}


def with_versions(weights: Mapping[str, Any], versions: Mapping[str, int] | None) -> Mapping[str, Any]:
    """Gives weights with those versions: without them a module takes its own weights for those of an old release."""
    noted: OrderedDict[str, Any] = OrderedDict(weights)
    metadata = OrderedDict((name, {"version": version}) for name, version in (versions or {}).items())
    noted._metadata = metadata  # pyright: ignore[reportAttributeAccessIssue]
    return noted if versions else weights


def _has_fixed_shape(name: str, live: Tensor) -> bool:
    """Says whether a tensor of a model takes only one of its own shape.

    A lazy module gets its shapes from what is loaded, and what a module keeps beside its weights is its own business.
    """
    return not is_lazy(live) and not is_beside_weights(name)
