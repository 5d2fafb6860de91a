"""Two checkpoints side by side: counters, scores, settings, and how far every parameter has moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from holdfast.checkpoint.compare import state_differences
from holdfast.checkpoint.contents import as_json, flat
from holdfast.checkpoint.layouts.layout import WEIGHTS, Translated
from holdfast.checkpoint.layouts.parts import weights_in

_COUNTERS = ("stage", "epoch", "step", "samples")
_SCORES = ("metric", "best_metric", "best_step")
_WHEN_AND_WHERE = ("version", "metadata", "timestamp")
_AT_ONCE = 1 << 22
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Moved:
    """How far one parameter has moved from the first checkpoint to the second."""

    name: str
    shape: tuple[int, ...]
    norm: float
    """In the first checkpoint."""
    other_norm: float
    distance: float
    """The norm of the difference."""
    largest: float
    """The largest difference of two numbers."""
    changed: float
    """The share of its numbers that are not the same to the last bit."""
    not_finite: int
    """How many of its numbers, in both together, are infinite or none."""

    @property
    def relative(self) -> float:
        """The distance as a share of the norm that it had."""
        if self.norm:
            return self.distance / self.norm
        return math.inf if self.distance else 0.0


@dataclass(frozen=True)
class Comparison:
    """What two checkpoints have in common and what not."""

    paths: tuple[Path, Path]
    values: Mapping[str, tuple[Any, Any]]
    """Counters, scores and metrics in both, by name; None where one does not say."""
    config: Mapping[str, tuple[Any, Any]]
    """The settings that differ, by their dotted names; "(not there)" where one has none."""
    moved: tuple[Moved, ...]
    """Every parameter that both have in one shape."""
    reshaped: Mapping[str, tuple[Any, Any]]
    """Parameters whose shape or type differs, with both."""
    only: tuple[tuple[str, ...], tuple[str, ...]]
    """Parameters that one has and the other has not."""
    parts: Mapping[str, tuple[int, str]]
    """Other parts (optimizer, averages, generators ...) that differ: how many values, and the first."""

    @property
    def is_equal(self) -> bool:
        """Whether they are equal to the last bit, apart from when and where they were written."""
        same_values = all(_same(one, other) for one, other in self.values.values())
        same_weights = not any(one.changed for one in self.moved) and not self.reshaped and self.only == ((), ())
        return same_values and same_weights and not self.config and not self.parts

    def as_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        return {
            "paths": [str(path) for path in self.paths],
            "equal": self.is_equal,
            "values": as_json(self.values),
            "config": as_json(self.config),
            "parameters": [{**asdict(one), "relative": one.relative} for one in self.moved],
            "reshaped": as_json(self.reshaped),
            "only_in_first": list(self.only[0]),
            "only_in_second": list(self.only[1]),
            "other_parts": {name: {"values": count, "first": first} for name, (count, first) in self.parts.items()},
        }


def compare_checkpoints(first: Translated, second: Translated) -> Comparison:
    """Compares two checkpoints, whoever wrote them."""
    ours, theirs = first.state, second.state
    our_weights, their_weights = (weights_in(state.get(WEIGHTS)) or {} for state in (ours, theirs))
    both = [name for name in our_weights if name in their_weights]
    alike = [name for name in both if _form(our_weights[name]) == _form(their_weights[name])]
    return Comparison(
        paths=(first.path, second.path),
        values=dict(_values(ours, theirs)),
        config=_config(ours.get("config"), theirs.get("config")),
        moved=tuple(_moved(name, our_weights[name], their_weights[name]) for name in alike),
        reshaped={name: (_form(our_weights[name]), _form(their_weights[name])) for name in both if name not in alike},
        only=(
            tuple(name for name in our_weights if name not in their_weights),
            tuple(name for name in their_weights if name not in our_weights),
        ),
        parts=dict(_parts(ours, theirs)),
    )


def _values(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in (*_COUNTERS, *_SCORES):
        known = [one for one in (ours.get(name), theirs.get(name)) if one is not None]
        # Only we have stages: a foreign checkpoint does not differ by having none.
        if len(known) > (name == "stage"):
            yield name, (ours.get(name), theirs.get(name))
    our_metrics, their_metrics = (_mapping(state.get("metrics")) for state in (ours, theirs))
    for name in {**our_metrics, **their_metrics}:
        yield name, (our_metrics.get(name), their_metrics.get(name))


def _config(ours: Any, theirs: Any) -> dict[str, tuple[Any, Any]]:
    our_keys, their_keys = flat(_mapping(ours)), flat(_mapping(theirs))
    pairs = {
        name: (our_keys.get(name, "(not there)"), their_keys.get(name, "(not there)"))
        for name in {**our_keys, **their_keys}
    }
    return {name: (one, other) for name, (one, other) in pairs.items() if not _same(one, other)}


def _parts(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, str]]]:
    """Gives the parts that differ; where the journal of a run ends in its files is nothing of its state."""
    shown = {*_COUNTERS, *_SCORES, *_WHEN_AND_WHERE, "metrics", "config", WEIGHTS}
    for name in {**ours, **theirs}:
        if name in shown:
            continue
        one, other = ({k: v for k, v in _mapping(s.get(name)).items() if k != "journal"} for s in (ours, theirs))
        if not one and not other:
            one, other = {name: ours.get(name)}, {name: theirs.get(name)}
        found = [f"{difference.place}: {difference.what}" for difference in state_differences(one, other)]
        if found:
            yield name, (len(found), found[0])


def _moved(name: str, ours: Tensor, theirs: Tensor) -> Moved:
    squares = torch.zeros(3, dtype=torch.float64)
    largest, changed, not_finite = 0.0, 0, 0
    for one, other in _pieces(ours, theirs):
        changed += int((_bits(one) != _bits(other)).any(dim=-1).sum())
        our, their = _real(one), _real(other)
        not_finite += int((~torch.isfinite(our)).sum() + (~torch.isfinite(their)).sum())
        gap = their - our
        squares += torch.stack([our.square().sum(), their.square().sum(), gap.square().sum()])
        largest = max(largest, float(gap.abs().max()))
    norms = squares.sqrt().tolist()
    share = changed / max(ours.numel(), 1)
    return Moved(name, tuple(ours.shape), norms[0], norms[1], norms[2], largest, share, not_finite)


def _pieces(ours: Tensor, theirs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    one, other = (tensor.detach().cpu().resolve_conj().resolve_neg().reshape(-1) for tensor in (ours, theirs))
    for start in range(0, ours.numel(), _AT_ONCE):
        yield one[start : start + _AT_ONCE], other[start : start + _AT_ONCE]


def _bits(piece: Tensor) -> Tensor:
    """Gives each number as one or two integers of the same bits."""
    parts = torch.view_as_real(piece) if piece.is_complex() else piece.unsqueeze(-1)
    return parts.contiguous().view(_BITS[parts.element_size()])


def _real(piece: Tensor) -> Tensor:
    return (torch.view_as_real(piece) if piece.is_complex() else piece).to(torch.float64)


def _form(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _mapping(value: Any) -> dict[Any, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _same(one: Any, other: Any) -> bool:
    """Says whether two values are the same; one that is not a number is the same as another such."""
    return not any(state_differences({"value": one}, {"value": other}))
