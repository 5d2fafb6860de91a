"""An optimizer's state with weights that are decayed and weights that are not, as one group."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

_NOT_DECAYED = re.compile(r"bias|layernorm|rmsnorm|(?:^|\.)norm(?:$|\.)|_norm(?:$|\.)", re.IGNORECASE)
"""The names whose weights the Trainer of Hugging Face does not decay; it exempts LayerNorm by its class, too."""


def as_one_group(optimizer: Mapping[str, Any], parameters: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Gives the state that an optimizer with one group for the whole network would have; None where it cannot be.

    The Trainer of Hugging Face always makes two groups, decayed and not, even where they have the same settings. By
    names alone too few weights of the second kind can be found, never too many: where the numbers agree, all do.

    Args:
        optimizer: The state of an optimizer with two groups.
        parameters: The network's parameters that are trained, in its own order.
    """
    groups = optimizer["param_groups"]
    if len(groups) != 2 or not _are_alike(groups):
        return None
    decayed = [name for name in parameters if _NOT_DECAYED.search(name) is None]
    exempt = [name for name in parameters if _NOT_DECAYED.search(name) is not None]
    if [len(decayed), len(exempt)] != [len(group["params"]) for group in groups]:
        return None
    numbers = dict(zip([*decayed, *exempt], [*groups[0]["params"], *groups[1]["params"]], strict=True))
    state = {new: optimizer["state"].get(numbers[name], {}) for new, name in enumerate(parameters)}
    if not all(_fits(state[new], parameter) for new, parameter in enumerate(parameters.values())):
        return None
    group = {**groups[0], "params": list(range(len(parameters)))}
    return {"state": {number: held for number, held in state.items() if held}, "param_groups": [group]}


def _are_alike(groups: Sequence[Mapping[str, Any]]) -> bool:
    settings = [{key: value for key, value in group.items() if key != "params"} for group in groups]
    return settings[0] == settings[1]


def _fits(held: Mapping[str, Any], parameter: Tensor) -> bool:
    moments = [held.get(name) for name in ("exp_avg", "momentum_buffer")]
    return all(moment.shape == parameter.shape for moment in moments if isinstance(moment, Tensor))
