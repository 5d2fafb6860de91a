"""What a command line asks for, as a system and a resolved configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.config import Layer, Resolved, load_layer, parse_options, plain_layer, resolve
from holdfast.engine.system import System
from holdfast.errors import UserError
from holdfast.systems import SYSTEMS, load_system

OWN_OPTIONS = ("--preset", "--config", "--stage", "--resume", "--evaluate", "--json", "--output-dir", "--checkpoint")
NOT_YET = ("--init-from", "--run-all-stages", "--nproc")
"""Options that are known everywhere, but not built yet."""


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


def asked_of_a_run(
    system: System, *, preset: str | None, config: str | None, key_words: Sequence[str]
) -> Callable[[System], Layer]:
    """Gives what preset, file and command line ask of a run that is there already, as one layer over its own."""
    documents = [] if preset is None else list(load_layer(preset_file(system, preset)).documents)
    documents += [] if config is None else list(load_layer(Path(config)).documents)
    documents += read_words(key_words, system).documents
    values = Layer("request", tuple(documents)).values
    training = {key: value for key, value in values.pop("training", {}).items() if key != "resume"}
    values.pop("system", None)
    return lambda system: plain_layer({**values, "training": training}, config or "command line")


def read_words(words: Sequence[str], system: System) -> Layer:
    """Gives the configuration keys that were typed as options of a command."""
    for word in words:
        if word.partition("=")[0].replace("_", "-") in NOT_YET:
            raise UserError(f"`{word}` must wait: this release of Holdfast does not have it yet.")
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
