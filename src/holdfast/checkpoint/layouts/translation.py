"""A translation in the making: what has been taken from a foreign checkpoint, what was left, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.layouts.layout import PARTS, WEIGHTS, Left, Translated
from holdfast.checkpoint.layouts.parts import is_optimizer, steps_in, unwrapped
from holdfast.checkpoint.layouts.plainly import plainly
from holdfast.checkpoint.layouts.source import Source

_SORTED = ".safetensors"
_WARM = 1_000_000
"""So many updates stand for an average whose own count is not known: its decay has long been warmed up."""


class Translation:
    """Collects the parts of one checkpoint; `done` gives the whole.

    Args:
        layout: The name of the layout.
        source: What is translated.
    """

    def __init__(self, layout: str, source: Source) -> None:
        self.state: dict[str, Any] = {}
        self._layout, self._source = layout, source
        self._left: list[Left] = []
        self._notes: list[str] = []
        self._anew: set[str] = set()

    def put(self, part: str, value: Any, place: str) -> None:
        """Takes a part.

        Args:
            part: Its name in a checkpoint of ours.
            value: The part; what a checkpoint cannot hold of it is left out and listed.
            place: What its writer calls it.
        """
        self.state[part] = plainly(value, place, self.leave)

    def put_weights(self, weights: Mapping[str, Tensor], place: str) -> None:
        """Takes the weights, by the names that the network itself has."""
        names, notes = unwrapped(weights)
        self.put(WEIGHTS, names, place)
        self._notes += notes

    def put_average(self, weights: Mapping[str, Tensor], updates: int | None, place: str) -> None:
        """Takes averaged weights; `updates` is how many states they average, as far as that is known."""
        names, _ = unwrapped(weights)
        if updates is None:
            self.note(f"how many states `{place}` averages is not known: taken as a great many")
        averaged = plainly(names, place, self.leave)
        self.state["ema_state_dict"] = {"updates": _WARM if updates is None else updates, WEIGHTS: averaged}

    def put_optimizer(self, value: Any, place: str) -> None:
        """Takes an optimizer's state, or says why not; the steps that it has counted fill in for missing ones."""
        if not is_optimizer(value):
            self.leave(place, "not the state of one optimizer of PyTorch with its parameters by number")
            return
        self.put("optimizer_state_dict", value, place)
        steps = steps_in(value)
        if "step" not in self.state and steps is not None:
            self.state["step"] = steps
            self.note(f"step {steps} is the count that the optimizer itself keeps")

    def put_one_of(self, part: str, values: Any, place: str) -> None:
        """Takes the only entry of a list; without one the part was off, and several are left to start anew."""
        if isinstance(values, list | tuple) and len(values) <= 1:
            self.put(part, values[0] if values else None, f"{place}[0]")
        else:
            self.leave(place, "not one, and a run has one")
            self._anew.add(part)

    def put_config(self, found: Mapping[str, Any]) -> None:
        """Takes settings: those of one name as they are, those of several under their names."""
        plain = {name: plainly(_settings(value), name, self.leave) for name, value in found.items()}
        plain = {name: value for name, value in plain.items() if isinstance(value, dict) and value}
        if plain:
            self.state["config"] = next(iter(plain.values())) if len(plain) == 1 else plain

    def leave(self, name: str, why: str) -> None:
        """Notes something that is not taken."""
        self._left.append(Left(name, why))

    def leave_rest(self, taken: Iterable[str], why: str = "nothing of ours corresponds to it") -> None:
        """Notes all names of the file that are not among those that were taken."""
        for name in self._source.keys:
            if name not in set(taken):
                self.leave(name, why)

    def note(self, line: str) -> None:
        """Notes what a person should know of how this was read."""
        self._notes.append(line)

    def done(self, absent: Iterable[str]) -> Translated:
        """Gives the whole.

        Args:
            absent: Parts that this layout never holds; those that have been found after all do not count.
        """
        never = {*absent, *self._anew}
        return Translated(
            layout=self._layout,
            path=self._source.path,
            state={part: self.state[part] for part in PARTS if part in self.state},
            absent=tuple(part for part in PARTS if part in never and part not in self.state),
            left=tuple(self._left),
            notes=tuple(self._notes),
            opaque=self._source.opaque,
            in_order=not any(name.endswith(_SORTED) for name in self._source.containers),
        )


def _settings(value: Any) -> Any:
    """Gives the attributes of an object that holds settings and is of a class that is not known."""
    if isinstance(value, Opaque) and isinstance(value.content, Mapping):
        state = value.content.get("state")
        if isinstance(state, Mapping):
            return state
    return value
