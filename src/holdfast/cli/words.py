"""The words of a command line: which are the command's own, and which are configuration keys.

Any configuration key is an option, but the schema is known only after the system has been loaded. So the words that
are not the command's own are set aside here, before the command parser sees them, and read later.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SET_ASIDE = "--key-words"
"""The hidden option under which a command gets the words that are not its own."""

SCRIPT = "--script"
"""The hidden option under which a command that runs a script gets the words behind `--`."""

_OPTION = re.compile(r"--?[A-Za-z_]")


def own_options(command: Callable[..., Any]) -> dict[str, bool]:
    """Gives a command's own option names, and for each whether a value follows it."""
    options = {"--help": False, "-h": False}
    for name, parameter in inspect.signature(command).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            options["--" + name.replace("_", "-")] = parameter.annotation not in ("bool", bool)
    options.pop(SET_ASIDE, None)
    return options


def set_aside(words: Sequence[str], own: Mapping[str, bool], aliases: Mapping[str, str]) -> list[str]:
    """Gives the words with those that are not the command's own moved behind the hidden option.

    Args:
        words: What was typed after the command.
        own: The command's own options (see `own_options`).
        aliases: Other spellings of the command's own options.
    """
    kept: list[str] = []
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--" and SCRIPT in own:
            kept += [f"{SCRIPT}={one}" for one in rest]
            break
        name, equals, value = word.partition("=")
        name = aliases.get(name, "--" + name[2:].replace("_", "-") if name.startswith("--") else name)
        if name in own:
            kept.append(name + equals + value)
            if own[name] and not equals and rest:
                kept.append(rest.pop(0))
        elif _OPTION.match(word):
            others.append(word)
            if not equals and rest and not _OPTION.match(rest[0]) and not word.startswith("--no-"):
                others.append(rest.pop(0))
        else:
            kept.append(word)
    for word in others:
        kept.append(f"{SET_ASIDE}={word}")
    return kept
