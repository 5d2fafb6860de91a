"""`holdfast config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.errors import UserError

KeyWords = Annotated[list[str], Parameter(show=False)]


def config(
    *what: str,
    config: str | None = None,
    preset: str | None = None,
    stage: str | None = None,
    yaml: bool = False,
    json_schema: bool = False,
    key_words: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Show the resolved configuration and where each key came from.

    Args:
        what: A system, a config file, or both.
        config: A YAML file that lies over the system's defaults.
        preset: A ready configuration of the system.
        stage: Show the configuration of this stage.
        yaml: Print a YAML file to start from, and nothing else.
        json_schema: Print a JSON Schema for editors, and nothing else.
    """
    from holdfast.cli.requests import resolve_request
    from holdfast.config import json_schema as schema_of
    from holdfast.config import to_yaml

    system, file = _system_and_file(what, config)
    chosen, resolved = resolve_request(system, preset=preset, config=file, stage=stage, key_words=key_words)
    if json_schema:
        print(json.dumps(schema_of(chosen.config), indent=2))
    elif yaml:
        print(to_yaml(resolved.values), end="")
    else:
        _print_origins(resolved.values, resolved.origins)
    return 0


def _system_and_file(what: tuple[str, ...], config: str | None) -> tuple[str | None, str | None]:
    files = [text for text in what if text.endswith((".yaml", ".yml")) or Path(text).is_file()]
    systems = [text for text in what if text not in files]
    if config is not None:
        files.append(config)
    if len(files) > 1 or len(systems) > 1:
        raise UserError(f"`config` must be given one system and one file at most, but got {' '.join(what)}; drop one.")
    return (systems[0] if systems else None), (files[0] if files else None)


def _print_origins(values: dict[str, object], origins: dict[str, str]) -> None:
    from holdfast.config import flatten

    rows = [(key, _shown(value), origins.get(key, "default")) for key, value in flatten(values).items()]
    key_width = max(len(key) for key, _, _ in rows)
    value_width = min(40, max(len(value) for _, value, _ in rows))
    for key, value, origin in rows:
        print(f"{key:<{key_width}}  {value:<{value_width}}  {origin}")


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
