"""What a command line asks for, as a system and a resolved configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.checkpoint.layouts.layout import Layout, Translated
from holdfast.cli.checkpoints import layouts_of
from holdfast.config import Layer, Resolved, load_layer, parse_options, plain_layer, resolve
from holdfast.engine.system import System
from holdfast.errors import UserError
from holdfast.launch.course import Course, Resolve, course_of, course_of_one
from holdfast.launch.going_on import old_length, resolve_anew
from holdfast.launch.sources import progress, settings_in
from holdfast.launch.telling import print_line
from holdfast.systems import SYSTEMS, load_system

OWN_OPTIONS = (
    "--preset",
    "--config",
    "--stage",
    "--run-all-stages",
    "--resume",
    "--init-from",
    "--leave",
    "--evaluate",
    "--json",
    "--output-dir",
    "--checkpoint",
)
NOT_YET = ("--nproc",)
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
    system, resolve_stage = _request(name, preset=preset, config=config, key_words=key_words)
    return system, resolve_stage(stage)


def resolve_course(
    name: str | None,
    *,
    preset: str | None = None,
    config: str | None = None,
    stage: str | None = None,
    key_words: Sequence[str] = (),
) -> tuple[System, Course]:
    """Gives the system and the stages that a new run goes through: the one that is asked for, else all.

    Raises:
        UserError: All mistakes at once, before anything is created.
    """
    system, resolve_stage = _request(name, preset=preset, config=config, key_words=key_words)
    return system, course_of(resolve_stage, only=None if stage is None else [stage])


def _request(
    name: str | None, *, preset: str | None, config: str | None, key_words: Sequence[str]
) -> tuple[System, Resolve]:
    file = load_layer(Path(config)) if config is not None else None
    system_name, system = _system(name, file, config)
    layers = [plain_layer({"system": system_name}, "command line")]
    if preset is not None:
        layers.append(load_layer(preset_file(system, preset), label=f"preset {preset}"))
    if file is not None:
        layers.append(file)
    words = read_words(key_words, system)
    return system, lambda stage: resolve(system.config, layers, stage=stage, overrides=words)


def resolve_file(
    found: Translated,
    name: str | None,
    *,
    preset: str | None = None,
    config: str | None = None,
    stage: str | None = None,
    key_words: Sequence[str] = (),
    keep_schedule: bool = False,
) -> tuple[System, Course]:
    """Gives system and stages of a new run that goes on from a file outside any run.

    The configuration in the file is the base, where it is one of a system; else the request must say everything.

    Raises:
        UserError: All mistakes at once, before anything is created.
    """
    if not progress(found):
        raise UserError(
            f"`{found.path}` ({found.layout}) must say how many epochs or steps are done, but says neither; "
            f"begin a new run with its weights: holdfast train {name or 'SYSTEM'} --init-from {found.path}."
        )
    stored = settings_in(found)
    if stored is None:
        if name is None and config is None:
            raise UserError(
                f"`{found.path}` ({found.layout}) must come with a system, for it does not say which one it is of; "
                f"name it: holdfast train SYSTEM --resume {found.path}."
            )
        return resolve_course(name, preset=preset, config=config, stage=stage, key_words=key_words)
    file = load_layer(Path(config)) if config is not None else None
    for asked in (name, file.values.get("system") if file else None):
        if asked not in (None, stored["system"]):
            raise UserError(
                f"`system` must be the one of {found.path}, {stored['system']!r}, but got {asked!r}; leave it out."
            )
    system = load_system(str(stored["system"]))
    layers = [] if preset is None else [load_layer(preset_file(system, preset), label=f"preset {preset}")]
    layers += [file] if file else []
    layers += [plain_layer(old_length(stored), "--keep-schedule")] if keep_schedule else []
    trained = str(found.state.get("stage") or "train")
    if stage not in (None, trained):
        raise UserError(f"`--stage` must be the one of {found.path}, {trained!r}, but got {stage!r}; leave it out.")
    resolved = resolve_anew(system, stored, layers, read_words(key_words, system), print_line)
    return system, course_of_one(resolved, trained)


def layouts_for(name: str | None, config: str | None) -> Sequence[Layout]:
    """Gives the layouts of the past of the system that is asked for; those of all built-in ones when none is."""
    in_file = load_layer(Path(config)).values.get("system") if config is not None else None
    return layouts_of(name or in_file)


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
        option = word.partition("=")[0].replace("_", "-")
        if option in NOT_YET:
            raise UserError(f"`{word}` must wait: this release of Holdfast does not have it yet.")
        if option in ("--init-from", "--leave"):
            raise UserError(f"`{option}` must begin a new run; use it with `holdfast train SYSTEM`, without --resume.")
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
