"""A system whose model remembers something beside its weights, which changes what it computes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from tests import tiny


class Remembering(nn.Module):
    """Subtracts the mean of what it saw last: a list that grows, and a count; neither is a parameter or a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.means, self.seen = torch.zeros(0), 0

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self.means = torch.cat([self.means, features.detach().mean().reshape(1)])[-7:]
            self.seen += len(features)
        return features - (self.means.mean() if self.seen else 0) + 0.001 * self.seen

    def get_extra_state(self) -> Tensor | dict[str, object] | None:
        raise NotImplementedError


class OfTensor(Remembering):
    def get_extra_state(self) -> Tensor:
        return torch.cat([self.means, torch.tensor([float(self.seen)])])

    def set_extra_state(self, state: Tensor) -> None:
        self.means, self.seen = state[:-1].clone(), int(state[-1])


class OfDictionary(Remembering):
    def get_extra_state(self) -> dict[str, object]:
        return {"means": self.means, "seen": self.seen}

    def set_extra_state(self, state: dict[str, object]) -> None:
        self.means, self.seen = state["means"], state["seen"]


class OfNothing(nn.Identity):
    def get_extra_state(self) -> None:
        return None

    def set_extra_state(self, state: None) -> None:
        assert state is None


def _remembering(kind: type[nn.Module]) -> tiny.System:
    def model(config: tiny.TinyConfig) -> nn.Module:
        width = config.model.width
        return nn.Sequential(nn.Linear(3, width), kind(), nn.Dropout(0.3), nn.Tanh(), nn.Linear(width, 1))

    return replace(tiny.system, name=kind.__name__.lower(), model=model)


tensor, dictionary, nothing = map(_remembering, (OfTensor, OfDictionary, OfNothing))
