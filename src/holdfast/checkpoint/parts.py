"""Parts beside the model, on their way back: whether a scaler fits, and in which containers a part wants its values."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from typing import Any

from torch.amp.grad_scaler import GradScaler

from holdfast.errors import CheckpointMismatch


def check_scaler_fit(part: str, scaler: GradScaler, state: Mapping[str, Any]) -> None:
    """Compares a saved scaler state with a scaler: one that is disabled has no state to give, and takes none.

    Raises:
        CheckpointMismatch: When one of the two is enabled and the other is not.
    """
    if scaler.is_enabled() == bool(state):
        return
    saved, ours = ("an enabled", "a disabled") if state else ("a disabled", "an enabled")
    raise CheckpointMismatch(
        f"`{part}` must come from {ours} scaler, as the given one is, but got the state of {saved} one; "
        f"give {saved} scaler, or leave it out to go on without what was saved."
    )


def with_containers_of(live: Any, saved: Any) -> Any:
    """Gives saved values in the containers that a live state has in the same places.

    A checkpoint holds plain dictionaries, lists and tuples. Some parts need more: `MultiStepLR` asks its milestones
    for what only a Counter can do.
    """
    if isinstance(saved, dict) and isinstance(live, dict):
        return _dictionary_like(live, {key: with_containers_of(live.get(key), item) for key, item in saved.items()})
    if isinstance(saved, list | tuple) and isinstance(live, list | tuple | deque):
        ours = [*live, *[None] * (len(saved) - len(live))]
        items = [with_containers_of(our, item) for our, item in zip(ours, saved, strict=False)]
        return deque(items, live.maxlen) if type(live) is deque else type(saved)(items)
    return saved


def _dictionary_like(live: dict[Any, Any], items: dict[Any, Any]) -> dict[Any, Any]:
    if type(live) is Counter:
        return Counter(items)
    if type(live) is OrderedDict:
        return OrderedDict(items)
    return defaultdict(live.default_factory, items) if type(live) is defaultdict else items
