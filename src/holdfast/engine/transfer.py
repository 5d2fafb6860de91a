"""Weights from elsewhere: which fit a model by name and shape, which of the model's are new, which are left.

Nothing is left or made anew in silence. What is in the file but does not fit is refused, unless a pattern says that
it is to be left; what the model has beyond the file starts as the seed makes it, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.checkpoint.fit import versions_of, with_versions
from holdfast.errors import UserError

_NAMED_AT_MOST = 8
_PATTERNS_AT_MOST = 4


@dataclass(frozen=True)
class Transfer:
    """What becomes of each name when a model takes weights."""

    matched: tuple[str, ...]
    """Names whose values are taken."""
    new: tuple[str, ...]
    """Names of the model whose values stay as the seed makes them."""
    left: tuple[str, ...]
    """Names whose values stay in the file, as was asked."""
    unfit: Mapping[str, str]
    """Names in the file that fit nothing in the model, each with the reason."""
    share: float
    """How much of the model's values are taken, from 0 to 1."""

    def lines(self) -> list[str]:
        """Says it to a person: counts, then names, a line for each kind."""
        count = len(self.matched) + len(self.new)
        taken = f"{len(self.matched)} of {count}, {100 * self.share:.1f} % of the model's values"
        said = [f"  matched  {taken}"]
        if self.new:
            said.append(f"  new      {len(self.new)}, made from the seed: {_some(self.new)}")
        if self.left:
            said.append(f"  left     {len(self.left)}, in the file: {_some(self.left)}")
        return said

    def as_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        return {
            "share": self.share,
            "matched": list(self.matched),
            "new": list(self.new),
            "left": list(self.left),
        }


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, leave: Sequence[str] = ()) -> Transfer:
    """Compares the state dict of a model with weights that it is to take.

    Args:
        ours: The state dict of the model.
        theirs: The weights.
        leave: Patterns (`head.*`) of names that are not taken, whether they fit or not.
    """
    left = tuple(name for name in theirs if any(fnmatchcase(name, pattern) for pattern in leave))
    wanted = [name for name in theirs if name not in set(left)]
    unfit = {name: why for name in wanted if (why := _misfit(name, ours, theirs[name]))}
    matched = tuple(name for name in wanted if name not in unfit)
    new = tuple(name for name in ours if name not in set(matched))
    values = sum(_values(value) for value in ours.values())
    share = sum(_values(ours[name]) for name in matched) / max(values, 1)
    return Transfer(matched, new, left, unfit, share)


def with_tied(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Gives weights with every name of a tensor that the model has under several: some files keep only one of them."""
    given: dict[tuple[int, torch.Size], str] = {}
    for name, value in ours.items():
        if name in theirs and _values(value):
            given.setdefault((value.data_ptr(), value.shape), name)
    missing = [name for name, value in ours.items() if name not in theirs and _values(value)]
    others = {name: given.get((ours[name].data_ptr(), ours[name].shape)) for name in missing}
    return {**theirs, **{name: theirs[other] for name, other in others.items() if other is not None}}


def take(model: nn.Module, weights: Mapping[str, Any], transfer: Transfer, versions: Mapping[str, int] | None) -> None:
    """Puts the matched weights into a model; the rest of it stays as it is."""
    own = model.state_dict()
    taken = {**own, **{name: weights[name] for name in transfer.matched}}
    model.load_state_dict(with_versions(taken, versions or versions_of(own)))


def refuse_unusable(
    where: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], transfer: Transfer, *, leave: Sequence[str]
) -> None:
    """Refuses weights of which nothing, or not everything that may not be left, can be taken.

    Raises:
        UserError: Naming what does not fit, with both shapes, and how to go on without it.
    """
    for pattern in leave:
        if not any(fnmatchcase(name, pattern) for name in theirs):
            raise UserError(
                f"`--leave` must match a name in {where}, but {pattern!r} matches none; its names are {_some(theirs)}."
            )
    if not any(_is_learned(theirs[name]) for name in transfer.matched) and not _differ_in_shape_only(ours, transfer):
        raise UserError(
            f"`{where}` must have weights of this model, but none of its {len(theirs)} names fits: "
            f"it has {_some(theirs, 3)}; the model has {_some(ours, 3)}."
        )
    if transfer.unfit:
        raise UserError(
            f"`{where}` must fit the model, but {_listed(transfer.unfit.values(), '; ')}; build the model that was "
            f"saved, or leave these in the file and start without them: add {_advice(transfer)}."
        )
    refuse_not_finite(where, {name: theirs[name] for name in transfer.matched})


def refuse_not_finite(where: str, weights: Mapping[str, Any]) -> None:
    """Refuses weights that are infinite or not a number, for nothing can be trained from them.

    Raises:
        UserError: Naming them.
    """
    if spoiled := [name for name, value in weights.items() if not _is_finite(value)]:
        raise UserError(
            f"`{where}` must have weights that are finite, but got others in {_some(spoiled)}; use another checkpoint."
        )


def _misfit(name: str, ours: Mapping[str, Any], value: Any) -> str | None:
    """Says why a value from a file cannot be the model's value of that name; None when it can."""
    if name not in ours:
        return f"{name} is not in the model"
    own = ours[name]
    if not isinstance(own, Tensor) or not isinstance(value, Tensor):
        return None if type(own) is type(value) else f"{name} is {_kind(value)} instead of {_kind(own)}"
    if own.shape != value.shape:
        return f"{name} is {list(value.shape)} instead of {list(own.shape)}"
    if own.is_floating_point() != value.is_floating_point() or own.is_complex() != value.is_complex():
        return f"{name} is {_kind(value)} instead of {_kind(own)}"
    return None


def _differ_in_shape_only(ours: Mapping[str, Any], transfer: Transfer) -> bool:
    return any(name in ours for name in transfer.unfit)


def _advice(transfer: Transfer) -> str:
    """Gives the options that leave what does not fit, by whole modules where nothing in them fits."""
    fitting = {_module(name) for name in transfer.matched}
    patterns = dict.fromkeys(name if _module(name) in fitting else f"{_module(name)}.*" for name in transfer.unfit)
    if len(patterns) > _PATTERNS_AT_MOST:
        return "--leave PATTERN for each, as in --leave 'head.*'"
    return " ".join(f"--leave '{pattern}'" for pattern in patterns)


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _kind(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else type(value).__name__


def _values(value: Any) -> int:
    return value.numel() if isinstance(value, Tensor) else 0


def _is_learned(value: Any) -> bool:
    """Whether a value may be a weight: counters (of batches seen) fit anything and say nothing."""
    return isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()) and value.numel() > 0


def _is_finite(value: Any) -> bool:
    return not _is_learned(value) or bool(torch.isfinite(value).all())


def _some(names: Iterable[str], count: int = _NAMED_AT_MOST) -> str:
    return _listed(names, ", ", count)


def _listed(texts: Iterable[str], between: str, count: int = _NAMED_AT_MOST) -> str:
    everything = list(texts)
    hidden = len(everything) - count
    more = f" and {hidden} more" if hidden > 0 else ""
    return between.join(everything[:count]) + more
