"""An average of the weights over the steps, which often judges better than the last weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from holdfast.checkpoint.fit import versions_of, with_versions

_NOTHING_MORE = nn.Module.get_extra_state


class Average:
    """A second model whose weights are the exponential average of those of the first.

    The decay warms up, `min(decay, (1 + n) / (10 + n))` after n updates, so that the first weights are soon forgotten.
    Buffers (running statistics) and what modules keep beside their weights are taken over as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self._with_more = [
            name for name, module in model.named_modules() if type(module).get_extra_state is not _NOTHING_MORE
        ]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Counts the weights of a model that has just made a step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for average, current in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(current.detach(), 1 - decay)
        for average, current in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(current)
        for name in self._with_more:
            more = copy.deepcopy(model.get_submodule(name).get_extra_state())
            self.model.get_submodule(name).set_extra_state(more)

    def state_dict(self) -> dict[str, Any]:
        """Gives the averaged weights and how many updates they hold."""
        weights = self.model.state_dict()
        return {"updates": self.updates, "model_state_dict": weights, "model_versions": versions_of(weights)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` gave."""
        self.updates = state["updates"]
        self.model.load_state_dict(with_versions(state["model_state_dict"], state.get("model_versions")))
