"""Holdfast from Python: the names that `import holdfast` offers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from holdfast.config import Config as BaseConfig
from holdfast.config import Layer, load_layer, plain_layer, resolve
from holdfast.engine.system import System
from holdfast.errors import ConfigError, RunError
from holdfast.launch import InitFrom, course_of, existing_run, start
from holdfast.launch import resume as resume_run
from holdfast.launch.sources import find_weights
from holdfast.run.find import find_checkpoint
from holdfast.systems import load_system
from holdfast.trained import TrainedRun, load_trained


class Config(BaseConfig):
    """A typed configuration; the base of your own system's, and what reads anybody's YAML file."""

    @classmethod
    def from_yaml(cls, path: str | Path) -> Any:
        """Gives the configuration of a YAML file, typed by the system that its `system:` names.

        Raises:
            ConfigError: All mistakes at once.
        """
        if cls is not Config:
            return super().from_yaml(path)
        name = load_layer(Path(path)).values.get("system")
        if name is None:
            raise ConfigError(f"{path}: `system` must say what is configured, but got nothing; add `system: NAME`.")
        return load_system(str(name)).config.from_yaml(path)


def train(
    system: System | str,
    config: Mapping[str, Any] | BaseConfig | str | Path | None = None,
    *,
    resume: Literal["auto"] | None = None,
    init_from: str | Path | None = None,
    leave: Sequence[str] = (),
) -> Path:
    """Trains a system in a new run folder and gives the folder.

    Args:
        system: A system of your own, or the name of a built-in one.
        config: What differs from the system's defaults: a mapping, a YAML file, or a whole configuration.
        resume: `auto` goes on with the run of the configured name when it is there already.
        init_from: A run (its best checkpoint, else its latest) or a file whose weights a new run begins with.
        leave: Patterns of weights that stay there, such as `head.*`.

    Raises:
        UserError: Before anything is created.
    """
    chosen = load_system(system) if isinstance(system, str) else system
    named = plain_layer({"system": system if isinstance(system, str) else _import_path(system)}, "holdfast.train")
    layers = [named, _layer(config)]
    course = course_of(lambda stage: resolve(chosen.config, layers, stage=stage), only=None)
    if resume == "auto" and (folder := existing_run(chosen, course.whole)) is not None:
        outcome = resume_run(
            folder,
            stage=None,
            load_system=lambda name: chosen,
            options=lambda system: _layer(config),
            command=sys.argv,
        )
    else:
        begin = None
        if init_from is not None:
            begin = InitFrom(find_weights(str(init_from), choice=None), chosen.layouts, tuple(leave))
        outcome = start(chosen, course, command=sys.argv, begin=begin)
    return outcome.folder.path


def load_run(path: str | Path, *, checkpoint: str | None = None, system: System | None = None) -> TrainedRun:
    """Gives a trained run for prediction: `.model`, `.config`, `.epoch`, `.metrics`; touches nothing in its folder.

    Args:
        path: A run folder, its name, or a checkpoint in it.
        checkpoint: "latest", "best" or a file of the run; by default the best, else the latest.
        system: The system, when it cannot be found by the name in the run's configuration.
    """
    folder, _, file = find_checkpoint(str(path), choice=checkpoint, prefer=("best", "latest"))
    if file is None:
        raise RunError(
            f"`{path}` must have a checkpoint, but got a run without one; "
            f"train it first: holdfast resume {folder.path}."
        )
    return load_trained(
        file,
        load_system=load_system if system is None else lambda name: system,
        options=lambda system: plain_layer({}, "holdfast.load_run"),
    )


def _import_path(system: System) -> str:
    """Gives where a system can be imported from, so that its runs can be opened again by anybody; else its name."""
    for name, module in list(sys.modules.items()):
        if name != "__main__":
            for attribute, value in list(vars(module).items() if module else ()):
                if value is system:
                    return f"{name}:{attribute}"
    return system.name


def _layer(config: Mapping[str, Any] | BaseConfig | str | Path | None) -> Layer:
    if isinstance(config, str | Path):
        return load_layer(Path(config))
    values = config.model_dump(mode="json") if isinstance(config, BaseConfig) else dict(config or {})
    return plain_layer(values, "holdfast.train")
