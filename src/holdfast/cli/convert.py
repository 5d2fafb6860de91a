"""`holdfast convert`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.errors import ConfigError, UserError

if TYPE_CHECKING:
    from holdfast.config import Section
    from holdfast.engine.system import System

KeyWords = Annotated[list[str], Parameter(show=False)]

_SAID_EVERY = 10.0
"""Seconds between two lines of progress, where there is no terminal."""


def convert(
    system: str,
    source: str | None = None,
    folder: str | None = None,
    /,
    *,
    key_words: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Turn real raw data into the form that training reads; `--data-path DIR` then takes it.

    What may be said of how depends on the system: `holdfast convert SYSTEM` lists its options. A conversion that was
    stopped or killed goes on when the same command is given again.

    Args:
        system: A built-in system or your own, package.module:name.
        source: Where the raw data is.
        folder: Where the converted data goes; created when missing.
    """
    from holdfast.config import parse_options, resolve
    from holdfast.systems import load_system

    chosen = load_system(system)
    if chosen.convert is None:
        raise UserError(f"`convert` must be something the system can do, but {system!r} does not offer it.")
    if source is None and not key_words:
        print(_usage(system, chosen))
        return 0
    if source is None or folder is None:
        raise UserError(
            f"`convert` must know from where to where, but got only {source or 'options'}; "
            f"write holdfast convert {system} SOURCE DIR."
        )
    if not Path(source).exists():
        raise UserError(f"`convert` must be given data that exists, but got {source}; look at the spelling.")
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UserError(f"`convert` must write into a folder, but {folder} is a file; choose another.")
    try:
        options = parse_options(key_words, chosen.convert_options, aliases={})
        resolved = resolve(chosen.convert_options, [], overrides=options)
    except ConfigError as error:
        raise ConfigError(*(_about(mistake, system) for mistake in error.mistakes)) from error
    try:
        with _progress() as progress:
            said = chosen.convert(resolved.config, Path(source), Path(folder), progress)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise
    print(said)
    print(f"next: holdfast train {system} --data-path {folder}")
    return 0


def _usage(system: str, chosen: System) -> str:
    lines = [f"holdfast convert {system} SOURCE DIR [--OPTION VALUE ...]", ""]
    options: type[Section] = chosen.convert_options
    for name, key in options.model_fields.items():
        option = f"--{name.replace('_', '-')}"
        lines.append(f"  {option:<16} {key.description or ''} Now: {key.default}.")
    return "\n".join(lines)


def _about(mistake: str, system: str) -> str:
    """Gives a mistake with the place where these options, which no configuration has, are listed."""
    return mistake.replace("`holdfast config` lists every key", f"`holdfast convert {system}` lists every option")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Shows how much is done: a bar on a terminal, a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console()
    columns = (TextColumn("converting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    said_at = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("converting", total=None)

        def tell(done: int, total: int) -> None:
            nonlocal said_at
            bar.update(task, completed=done, total=total)
            if not console.is_terminal and time.monotonic() - said_at >= _SAID_EVERY:
                said_at = time.monotonic()
                print(f"{done} of {total} done", flush=True)

        yield tell
