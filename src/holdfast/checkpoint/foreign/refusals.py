"""Why a file is not read, said where it is found out; which file it is, is said where the file was opened."""

from __future__ import annotations

_LONGEST = 80


class Refusal(Exception):
    """A reason, in words that go on from "but"; and what to do."""

    advice = ""

    def __init__(self, what: str, advice: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.advice = self.advice if advice is None else advice


class Trap(Refusal):
    """The file asks for more than to be looked at."""

    advice = "get it again, from somewhere that you trust"


class Broken(Refusal):
    """The file is of no known kind, or cut off."""

    advice = "fetch or copy it again"


class Damage(Refusal):
    """Bytes do not have their checksum."""

    advice = "fetch or copy it again"


def shown(text: str) -> str:
    """Gives text out of a file in a form that fits into one line of a message."""
    clean = "".join(character if character.isprintable() else "?" for character in text[: _LONGEST + 1])
    return clean if len(clean) <= _LONGEST else f"{clean[:_LONGEST]}..."
