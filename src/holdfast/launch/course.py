"""The stages that a run goes through, each with its configuration, and what one hands to the next."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from holdfast.assembly import build_model
from holdfast.checkpoint import archive
from holdfast.checkpoint.store import BEST, LATEST
from holdfast.config import Resolved, changes
from holdfast.engine.system import System
from holdfast.engine.transfer import compare, refuse_unusable
from holdfast.errors import UserError
from holdfast.launch.beginning import InitFrom
from holdfast.launch.sources import find_weights
from holdfast.run.folder import RunFolder

Resolve = Callable[[str | None], Resolved[Any]]
"""Gives the configuration of a stage; of None, what all stages share."""

UNSTAGED = "train"
"""The one stage of a run without stages."""
_BEST_OF = re.compile(r"best_(.+)\.pth")


@dataclass(frozen=True)
class Course:
    """What a run goes through: in a run without stages, itself."""

    whole: Resolved[Any]
    """What all stages share; in it each stage has what it has otherwise, whoever said so."""
    stages: tuple[Resolved[Any], ...]
    """The stages that are trained, in their order."""

    @property
    def has_stages(self) -> bool:
        """Whether the run has stages with names."""
        return bool(self.whole.config.stages)

    def of(self, name: str) -> Resolved[Any]:
        """Gives the configuration of a stage that is trained."""
        return next(one for one in self.stages if (one.stage or UNSTAGED) == name)


def course_of(resolve: Resolve, *, only: Sequence[str] | None) -> Course:
    """Resolves every stage of a run.

    Args:
        resolve: Resolves one.
        only: The stages that are trained; None means all.

    Raises:
        ConfigError: All mistakes at once; a stage that is not there is named with those that are.
    """
    whole = resolve(None)
    names = [stage.name for stage in whole.config.stages]
    for name in only or ():
        resolve(name)
    if not names:
        return Course(whole, (whole,))
    stages = {name: resolve(name) for name in names}
    named = _as_overrides(whole, stages)
    run = {**whole.values["run"], "stages": None if only is None else [name for name in names if name in only]}
    chosen = [stages[name] for name in names if only is None or name in only]
    return Course(
        replace(whole, values={**whole.values, "run": run, "stages": named}),
        tuple(replace(one, values={**one.values, "run": run, "stages": named}) for one in chosen),
    )


def course_of_one(resolved: Resolved[Any], stage: str) -> Course:
    """Gives the course of a run that trains one stage, whose own configuration is at hand."""
    if not resolved.config.stages:
        return Course(resolved, (resolved,))
    values = {**resolved.values, "run": {**resolved.values["run"], "stages": [stage]}}
    return Course(replace(resolved, values=values), (replace(resolved, values=values, stage=stage),))


def stages_in(values: Mapping[str, Any]) -> list[str]:
    """Gives the names of all stages of a stored configuration."""
    return [stage["name"] for stage in values.get("stages") or []] or [UNSTAGED]


def trained_in(values: Mapping[str, Any]) -> list[str]:
    """Gives the names of the stages that a run trains."""
    chosen = (values.get("run") or {}).get("stages")
    return [name for name in stages_in(values) if chosen is None or name in chosen]


def weights_for(system: System, resolved: Resolved[Any], folder: RunFolder | None) -> InitFrom | None:
    """Gives the weights with which a stage says that it begins; None when it begins with those of the seed.

    Args:
        system: What is trained.
        resolved: The stage's configuration.
        folder: The run; None when it does not exist yet.

    Raises:
        UserError: When they are not there.
    """
    stage = next((one for one in resolved.config.stages if one.name == resolved.stage), None)
    if stage is None or stage.init_from is None:
        return None
    former = former_stage(resolved, stage.init_from)
    path = _handed_over(folder, stage.name, former) if former else find_weights(stage.init_from, choice=None)
    return InitFrom(path, system.layouts, stage.leave, stage.least_matched)


def former_stage(resolved: Resolved[Any], init_from: str) -> str | None:
    """Gives the stage of the same run whose best is meant; None for anything else."""
    match = _BEST_OF.fullmatch(init_from)
    return match[1] if match and match[1] in [one.name for one in resolved.config.stages] else None


def check_course(system: System, course: Course, folder: RunFolder | None = None) -> None:
    """Makes sure, before the first step, that each later stage can take over what it says that it begins with.

    Raises:
        UserError: Naming the stage, the one before it, and what differs between the two.
    """
    names = [one.name for one in course.whole.config.stages]
    at_hand = {one.stage: one for one in course.stages}
    for resolved in course.stages[1:]:
        stage = next(one for one in resolved.config.stages if one.name == resolved.stage)
        former = former_stage(resolved, stage.init_from) if stage.init_from else None
        if former is None:
            weights_for(system, resolved, folder)
        elif names.index(former) >= names.index(stage.name):
            raise UserError(
                f"`init_from` of the stage {stage.name!r} must be of a stage before it, but got {stage.init_from!r}; "
                "put them in their order."
            )
        elif former in at_hand:
            _check_handover(system, at_hand[former], resolved, leave=stage.leave)
        else:
            _handed_over(folder, stage.name, former)


def steps_before(folder: RunFolder, stage: str, values: Mapping[str, Any]) -> int | None:
    """Gives how many steps the stages before this one have made; None in a run without stages."""
    names = stages_in(values)
    if names == [UNSTAGED]:
        return None
    latest = [folder.checkpoints(name) / LATEST for name in names[: names.index(stage)]]
    return sum(int(archive.read_counters(path)["step"]) for path in latest if path.exists())


def _handed_over(folder: RunFolder | None, stage: str, former: str) -> Path:
    """Gives the best checkpoint of a stage, or the latest of one that never had a best."""
    if folder is not None:
        for name in (BEST, LATEST):
            if (path := folder.checkpoints(former) / name).exists():
                return path
    raise UserError(
        f"`init_from` of the stage {stage!r} must be the best of the stage {former!r} of the same run, but that has "
        f"not been trained; train it first (--stage {former}), or add --init-from RUN or FILE."
    )


def _check_handover(system: System, giver: Resolved[Any], taker: Resolved[Any], *, leave: Sequence[str]) -> None:
    cpu = torch.device("cpu")
    theirs = build_model(system, giver.config, cpu).state_dict()
    ours = build_model(system, taker.config, cpu).state_dict()
    transfer = compare(ours, theirs, leave=leave)
    try:
        refuse_unusable(f"the stage {giver.stage}", ours, theirs, transfer, leave=leave)
    except UserError as error:
        different = changes({"model": giver.values["model"]}, {"model": taker.values["model"]}).refused
        settings = ", ".join(f"`{one.key}` is {one.old!r} in {giver.stage} and {one.new!r} here" for one in different)
        raise UserError(f"stage {taker.stage!r}: {error}{f' Settings: {settings}.' if settings else ''}") from error


Keys = dict[str, Any]
"""Some keys of a configuration: True for all of a value, else the keys within it."""


def _as_overrides(whole: Resolved[Any], stages: Mapping[str, Resolved[Any]]) -> list[dict[str, Any]]:
    """Gives the stages as they are stored: with every key that is not the same in all of them, whoever said so.

    So a stage can be resolved again from what is stored with any other stage.
    """
    keys: Keys = {}
    for resolved in stages.values():
        own = {key: item for key, item in resolved.values.items() if key not in ("stages", "run", "system")}
        keys = _joined(keys, _different(whole.values, own))
    named = []
    for stage in whole.config.stages:
        own = {"name": stage.name, "init_from": stage.init_from}
        own |= {"leave": list(stage.leave)} if stage.leave else {}
        own |= {"least_matched": stage.least_matched} if stage.least_matched else {}
        named.append(own | _picked(stages[stage.name].values, keys))
    return named


def _different(whole: Mapping[str, Any], values: Mapping[str, Any]) -> Keys:
    found: Keys = {}
    for key, value in values.items():
        other = whole.get(key)
        if value == other:
            continue
        # Another name makes another section, which is then written out whole.
        if isinstance(other, Mapping) and isinstance(value, Mapping) and other.get("name") == value.get("name"):
            found[key] = _different(other, value)
        else:
            found[key] = True
    return found


def _joined(one: Keys, other: Keys) -> Keys:
    joined = dict(one)
    for key, inner in other.items():
        before = joined.get(key, {})
        joined[key] = True if inner is True or before is True else _joined(before, inner)
    return joined


def _picked(values: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    return {key: values[key] if inner is True else _picked(values[key], inner) for key, inner in keys.items()}
