"""What stands in the place of an object whose class is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Opaque:
    """An object of a class that is not known: named, never made."""

    name: str
    """`module.Class`, as the file spells it."""
    content: Any
    """What the file says about it, for looking at: a dictionary with those of the keys `arguments` (a tuple),
    `keywords` (a dictionary), `state` (anything plain), `items` (a list) and `entries` (a dictionary) that it has.
    Empty for a class or function that is only mentioned."""
