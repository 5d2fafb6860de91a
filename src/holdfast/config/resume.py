"""What may change when a run is resumed, and what may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from holdfast.config.tree import flatten
from holdfast.errors import ConfigError

MAY_CHANGE = (
    "data.num_workers",
    "data.path",
    "data.preload",
    "data.shared_memory",
    "device",
    "logging.*",
    "run.*",
    "stages",
    "training.early_stop*",
    "training.epochs",
    "training.eval_interval",
    "training.keep_*",
    "training.lr",
    "training.milestones",
    "training.mode",
    "training.monitor",
    "training.parallel",
    "training.resume",
    "training.save_*",
    "training.schedule*",
    "training.steps",
    "training.warmup",
    "training.weight_decay",
)
"""Keys (with `*` for anything) that a resumed run may have otherwise; all others decide what its weights mean."""


class Change(NamedTuple):
    """A key whose value differs; None stands for a key that was not there."""

    key: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Changes:
    """What differs between a run's configuration and the one it would go on with."""

    allowed: list[Change]
    refused: list[Change]


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Changes:
    """Gives every key that differs between two resolved configurations, sorted into allowed and refused."""
    before, after = flatten(old), flatten(new)
    different = [
        Change(key, before.get(key), after.get(key))
        for key in {**before, **after}
        if not _same(before.get(key), after.get(key))
    ]
    return Changes(
        allowed=[change for change in different if _may_change(change.key)],
        refused=[change for change in different if not _may_change(change.key)],
    )


def refuse_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Gives the changes that a resumed run takes over.

    Raises:
        ConfigError: When anything differs that may not, each key with both values.
    """
    found = changes(old, new)
    if found.refused:
        raise ConfigError(
            *(
                f"`{change.key}` must stay {change.old!r} in this run, but got {change.new!r}; start a new run for that"
                for change in found.refused
            )
        )
    return found.allowed


def _may_change(key: str) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in MAY_CHANGE)


def _same(old: Any, new: Any) -> bool:
    """Compares as a configuration reads: 1 is 1.0, but not true; not-a-number is itself."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    return old == new or (old != old and new != new)  # noqa: PLR0124
