"""A layout as a table: which key of a foreign dictionary is which part of ours. A system writes its own down so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from holdfast.checkpoint.layouts.layout import PARTS, WEIGHTS, Translated
from holdfast.checkpoint.layouts.parts import count, generators, number, weights_in
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.translation import Translation
from holdfast.errors import CheckpointMismatch

EpochMeans = Literal["finished", "last, from 0"]
_COUNTS = ("step", "samples", "best_step")
_NUMBERS = ("metric", "best_metric")


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """One known dictionary.

    A part that the table names, but a file lacks, is missing: whoever needs it refuses. Parts that the table does not
    name were never there.
    """

    name: str
    marks: frozenset[str]
    """Keys that tell it: all of them are there."""
    parts: Mapping[str, str]
    """The key of each part, by the part's name in a checkpoint of ours."""
    epoch_means: EpochMeans = "finished"
    """What the number under the epoch's key counts: finished epochs, or the index of the last one."""
    config_file: str | None = None
    """A file beside it that holds the settings, for example `options.pkl`."""
    optional: frozenset[str] = field(default_factory=frozenset)
    """Parts that were off in some trainings: where they are not there, they are None."""

    def recognises(self, source: Source) -> bool:
        """Says whether all marks are there, and weights under their key."""
        keys = source.keys
        return self.marks <= keys.keys() and weights_in(keys.get(self.parts[WEIGHTS])) is not None

    def translate(self, source: Source) -> Translated:
        """Gives the parts of the table that are there, and lists what is not taken.

        Raises:
            CheckpointMismatch: When a counter is not a number.
        """
        translation = Translation(self.name, source)
        for part in PARTS:
            key = self.parts.get(part)
            if key is not None and source.keys.get(key) is not None:
                self._take(translation, part, key, source.keys[key])
            elif part in self.optional:
                translation.state[part] = None
        if self.config_file in source.names:
            translation.put_config({str(self.config_file): source.read(str(self.config_file))})
        translation.leave_rest(self.parts.values())
        never = {part for part in PARTS if part not in self.parts}
        return translation.done(never - ({"config"} if self.config_file else set()))

    def _take(self, translation: Translation, part: str, key: str, value: Any) -> None:
        if part == "epoch":
            epoch = self._count(key, value)
            translation.state[part] = epoch + 1 if self.epoch_means == "last, from 0" else epoch
        elif part in _COUNTS:
            translation.state[part] = self._count(key, value)
        elif part in _NUMBERS and number(value) is not None:
            translation.state[part] = float(number(value) or 0)
        elif part == WEIGHTS:
            translation.put_weights(weights_in(value) or {}, key)
        elif part == "optimizer_state_dict":
            translation.put_optimizer(value, key)
        elif part == "ema_state_dict" and (weights := weights_in(value)) is not None:
            translation.put_average(weights, None, key)
        elif part == "rng_state":
            self._take_generators(translation, key, value)
        elif part == "config":
            translation.put_config({key: value})
        elif isinstance(value, Mapping):
            translation.put(part, value, key)
        else:
            translation.leave(key, f"not what `{part}` can be")

    def _count(self, key: str, value: Any) -> int:
        found = count(value)
        if found is None:
            raise CheckpointMismatch(
                f"`{key}` of a checkpoint of {self.name} must be a whole number, but got {str(value)[:40]!r}."
            )
        return found

    def _take_generators(self, translation: Translation, key: str, value: Any) -> None:
        held = value if isinstance(value, Mapping) else {}
        found = generators(*(held.get(name) for name in ("python", "numpy", "torch", "cuda")))
        if found is None:
            translation.leave(key, "not the generators of Python, NumPy and PyTorch")
        else:
            translation.put("rng_state", found, key)
