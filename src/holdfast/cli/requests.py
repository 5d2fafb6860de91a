"""What a command line asks for, as a system and a resolved configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.config import Layer, Resolved, load_layer, parse_options, plain_layer, resolve
from holdfast.engine.system import System
from holdfast.errors import UserError
from holdfast.systems import SYSTEMS, load_system

OWN_OPTIONS = ("--preset", "--config", "--stage", "--resume", "--evaluate", "--json", "--output-dir", "--checkpoint")


def resolve_request(
    name: str | None,
    *,
    preset: str | None = None,
    config: str | None = None,
    stage: str | None = None,
    key_words: Sequence[str] = (),
) -> tuple[System, Resolved]:
    """Gives the system and its configuration: defaults, preset, file, stage and command line, one over the other.

    Raises:
        UserError: All mistakes at once, before anything is created.
    """
    file = load_layer(Path(config)) if config is not None else None
    system_name, system = _system(name, file, config)
    layers = [plain_layer({"system": system_name}, "command line")]
    if preset is not None:
        layers.append(load_layer(preset_file(system, preset), label=f"preset {preset}"))
    if file is not None:
        layers.append(file)
    return system, resolve(system.config, layers, stage=stage, overrides=read_words(key_words, system))


def read_words(words: Sequence[str], system: System) -> Layer:
    """Gives the configuration keys that were typed as options of a command."""
    return parse_options(words, system.config, aliases=system.options, commands=OWN_OPTIONS)


def preset_file(system: System, preset: str) -> Path:
    """Gives the file of a system's preset.

    Raises:
        UserError: When there is none of that name; the known ones are named.
    """
    known = sorted(path.stem for path in system.presets.glob("*.yaml")) if system.presets else []
    if preset not in known:
        names = ", ".join(known) or "none"
        raise UserError(f"`--preset` must be one of {system.name}'s presets ({names}), but got {preset!r}.")
    assert system.presets is not None
    return system.presets / f"{preset}.yaml"


def _system(name: str | None, file: Layer | None, config: str | None) -> tuple[str, System]:
    in_file = file.values.get("system") if file else None
    if name is None and in_file is None:
        where = "" if config is None else f" (and {config} has no `system:`)"
        raise UserError(
            f"`system` must be given, but got nothing{where}; say which: {', '.join(sorted(SYSTEMS))}, "
            "or your own as package.module:name."
        )
    if name is not None and in_file is not None and name != in_file:
        raise UserError(
            f"`system` must be the same everywhere, but got {name!r} and {in_file!r} in {config}; drop one."
        )
    chosen = str(name if name is not None else in_file)
    return chosen, load_system(chosen)
