"""The clock of a run, and when something is due.

Every number of the clock counts what is *done*: a run killed in the middle of its third epoch has epoch 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

Unit = Literal["epochs", "steps", "seconds"]

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(epoch|step|second|minute|hour)s?\s*", re.IGNORECASE)
_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


@dataclass(frozen=True)
class Clock:
    """How much of a run is done."""

    stage: str = "train"
    epoch: int = 0
    """Finished passes over the data."""
    step: int = 0
    """Finished optimizer steps."""
    samples: int = 0
    """Samples that finished steps have used."""

    def after_step(self, samples: int) -> Clock:
        """Gives the clock after one more optimizer step over `samples` samples."""
        return Clock(self.stage, self.epoch, self.step + 1, self.samples + samples)

    def after_epoch(self) -> Clock:
        """Gives the clock after the end of the current epoch."""
        return replace(self, epoch=self.epoch + 1)

    def as_dict(self) -> dict[str, str | int]:
        """Gives the counts as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Every:
    """A repeated moment: every so many epochs, steps or seconds."""

    count: float
    unit: Unit

    @classmethod
    def parse(cls, text: int | str, default_unit: Unit) -> Every:
        """Reads `5` (in the default unit), `"100 steps"`, `"2 epochs"`, `"90 seconds"`, `"10 minutes"` or `"1 hour"`.

        Raises:
            ValueError: When the text is none of these, or not positive.
        """
        if isinstance(text, int) or str(text).strip().isdigit():
            count, unit = float(text), default_unit
        else:
            match = _DURATION.fullmatch(str(text))
            if match is None:
                raise ValueError(f"must be a number, '100 steps', '2 epochs' or '10 minutes', but got {text!r}")
            word = match[2].lower()
            count = float(match[1]) * _SECONDS.get(word, 1.0)
            unit = "seconds" if word in _SECONDS else ("epochs" if word == "epoch" else "steps")
        if count <= 0 or (unit != "seconds" and count != int(count)):
            raise ValueError(f"must be a positive whole number of {unit}, but got {text!r}")
        return cls(count, unit)

    def is_due(self, before: Clock, after: Clock) -> bool:
        """Says whether a whole multiple lies after `before` and not after `after`; never for seconds."""
        if self.unit == "epochs":
            return after.epoch // self.count > before.epoch // self.count
        if self.unit == "steps":
            return after.step // self.count > before.step // self.count
        return False


def parse_duration(text: str) -> float:
    """Reads `3h30m`, `90s`, `45 min`, `2d`, `1:30:00` (hours first) or a bare number of seconds, and gives seconds.

    Raises:
        ValueError: When the text is none of these, or not positive.
    """
    word = text.strip().lower()
    seconds = 0.0
    if re.fullmatch(r"\d+(:\d\d){1,2}", word):
        parts = [int(part) for part in word.split(":")] + [0]
        seconds = parts[0] * 3600.0 + parts[1] * 60 + parts[2]
    elif re.fullmatch(r"\d+(\.\d+)?", word):
        seconds = float(word)
    elif re.fullmatch(r"(\d+(\.\d+)?\s*[a-z]+\s*)+", word):
        for count, unit in re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", word):
            scale = [value for name, value in _UNITS.items() if name.startswith(unit)]
            seconds += float(count) * (scale[0] if scale else float("nan"))
    if not seconds > 0:
        raise ValueError(f"must be a time such as 3h30m, 45m, 90s or 1:30:00, but got {text!r}")
    return seconds


def parse_every(value: int | str | Sequence[int | str], default_unit: Unit) -> tuple[Every, ...]:
    """Reads one interval or a list of them (see `Every.parse`)."""
    values = [value] if isinstance(value, int | str) else list(value)
    return tuple(Every.parse(item, default_unit) for item in values)
