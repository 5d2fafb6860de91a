"""The parts of a training as everybody stores them: weights, an optimizer's state, counts, generators."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.foreign.safetensors import METADATA

WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch.compile and others put into names, anywhere; nobody else does."""
PARALLEL = "module."
"""What DataParallel and DistributedDataParallel put before all names."""
_EXTRA = "_extra_state"
_WORDS_OF_GENERATOR = 624


def weights_in(value: Any) -> dict[str, Tensor] | None:
    """Gives the weights that a value is, or those of a whole network that was pickled; None when it is neither."""
    if isinstance(value, Opaque):
        value = _weights_of_network(value)
    if not isinstance(value, Mapping) or not value:
        return None
    if not all(isinstance(key, str) and (isinstance(item, Tensor) or _is_beside(key)) for key, item in value.items()):
        return None
    found = {key: item for key, item in value.items() if isinstance(item, Tensor)}
    return found or None


def _is_beside(key: str) -> bool:
    """Says whether something under this key may stand beside weights: notes of safetensors, a module's own state."""
    return key == METADATA or key.endswith(_EXTRA)


def _weights_of_network(network: Opaque, prefix: str = "", depth: int = 0) -> dict[str, Any] | None:
    """Gives the weights of a pickled network by the names that its state dict would have."""
    content = network.content if isinstance(network.content, Mapping) else {}
    state = content.get("state")
    if not isinstance(state, Mapping) or depth > 50:
        return None
    parts = [state.get(name) for name in ("_parameters", "_buffers", "_modules")]
    if not all(isinstance(part, Mapping) for part in parts):
        return None
    own, buffers, modules = (dict(part) for part in parts if isinstance(part, Mapping))
    passing = state.get("_non_persistent_buffers_set")
    passing = passing if isinstance(passing, set | frozenset | list | tuple) else ()
    own |= {name: buffer for name, buffer in buffers.items() if name not in passing}
    found = {f"{prefix}{name}": tensor for name, tensor in own.items() if isinstance(tensor, Tensor)}
    for name, module in modules.items():
        if isinstance(module, Opaque):
            found |= _weights_of_network(module, f"{prefix}{name}.", depth + 1) or {}
    return found


def unwrapped(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Gives weights by the names that the network itself has, and what was taken off the names, in words."""
    names = {name: name for name in weights}
    notes = []
    for word in WRAPPERS:
        if any(word in new for new in names.values()):
            names = {old: new.replace(word, "") for old, new in names.items()}
            notes.append(f"`{word}` taken out of the names of the weights")
    while names and all(new.startswith(PARALLEL) for new in names.values()):
        names = {old: new.removeprefix(PARALLEL) for old, new in names.items()}
        if f"`{PARALLEL}` taken off the names of the weights" not in notes:
            notes.append(f"`{PARALLEL}` taken off the names of the weights")
    if len(set(names.values())) < len(names) or "" in names.values():
        return dict(weights), []
    return {new: weights[old] for old, new in names.items()}, notes


def without_owner(weights: Mapping[str, Tensor], owners: Iterable[str]) -> tuple[dict[str, Tensor], list[str]]:
    """Gives weights without the name of the attribute that holds all of the network, and says so in words."""
    for owner in owners:
        prefix = f"{owner}."
        if weights and all(name.startswith(prefix) for name in weights):
            return (
                {name.removeprefix(prefix): tensor for name, tensor in weights.items()},
                [f"`{prefix}` taken off the names of the weights: the network inside"],
            )
    return dict(weights), []


def is_optimizer(value: Any) -> bool:
    """Says whether a value is the state of one of PyTorch's optimizers, its parameters by number."""
    if not isinstance(value, Mapping):
        return False
    state, groups = value.get("state"), value.get("param_groups")
    if not isinstance(state, Mapping) or not isinstance(groups, list) or not groups:
        return False
    are_groups = all(isinstance(group, Mapping) and isinstance(group.get("params"), list) for group in groups)
    return are_groups and all(type(key) is int and isinstance(item, Mapping) for key, item in state.items())


def steps_in(optimizer: Mapping[str, Any]) -> int | None:
    """Gives how many steps an optimizer has counted itself (those of Adam's kind do); None where it has not."""
    counts = [count(values.get("step")) for values in optimizer["state"].values()]
    known = [number for number in counts if number is not None]
    return max(known) if known else None


def count(value: Any) -> int | None:
    """Gives a value as a count from 0 on; None when it is anything else."""
    found = number(value)
    return int(found) if found is not None and found >= 0 and found == int(found) else None


def number(value: Any) -> float | int | None:
    """Gives a finite number, or the one in a tensor of one; None for anything else."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex() and value.device.type == "cpu":
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 2**62 else None


def generators(python: Any, numpy: Any, of_torch: Any, cuda: Any = None) -> dict[str, Any] | None:
    """Gives the states of the global generators in our form; None when one of them is not what it must be."""
    words = _numpy_state(numpy)
    devices = [cuda] if isinstance(cuda, Tensor) else list(cuda) if isinstance(cuda, list | tuple) else []
    if not _is_python_state(python) or words is None or not _is_bytes(of_torch) or not all(map(_is_bytes, devices)):
        return None
    return {"python": tuple(python), "numpy": words, "torch": of_torch, "cuda": devices}


def _is_python_state(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return False
    version, words, gauss = value
    are_words = isinstance(words, list | tuple) and len(words) == _WORDS_OF_GENERATOR + 1
    return version == 3 and are_words and (gauss is None or isinstance(gauss, float))


def _numpy_state(value: Any) -> list[Any] | None:
    if not isinstance(value, list | tuple) or len(value) != 5:
        return None
    name, words, position, has_gauss, gauss = value
    if isinstance(words, list | tuple) and all(type(word) is int and 0 <= word < 2**32 for word in words):
        words = torch.tensor(words, dtype=torch.int64)
    counts = [count(position), count(has_gauss), number(gauss)]
    if not isinstance(words, Tensor) or tuple(words.shape) != (_WORDS_OF_GENERATOR,):
        return None
    if name != "MT19937" or None in counts or words.is_floating_point() or words.is_complex():
        return None
    return [name, words.to(torch.int64), counts[0], counts[1], float(gauss)]


def _is_bytes(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and value.dim() == 1


def version_of(text: Any) -> tuple[int, int] | None:
    """Gives the first two numbers of a version such as `2.6.6`; None for anything else."""
    match = re.match(r"(\d+)\.(\d+)", text) if isinstance(text, str) else None
    return (int(match[1]), int(match[2])) if match else None
