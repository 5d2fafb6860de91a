"""A run from its first moment to its last: its folder, and one stage after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast import durable
from holdfast.assembly import build_training
from holdfast.checkpoint.store import Store
from holdfast.config import Layer, Resolved, plain_layer, resolve, to_yaml
from holdfast.engine.interruption import Interruption
from holdfast.engine.state import capture
from holdfast.engine.system import System
from holdfast.engine.training import Training
from holdfast.errors import RunError
from holdfast.launch.beginning import Begin
from holdfast.launch.course import (
    UNSTAGED,
    Course,
    check_course,
    course_of,
    stages_in,
    steps_before,
    trained_in,
    weights_for,
)
from holdfast.launch.going_on import (
    apply_threads,
    check_stage,
    compare_platform,
    forget_another_best,
    is_complete,
    old_length,
    refuse_less,
    resolve_again,
    restore_into,
    without_request,
)
from holdfast.launch.keeping import keep_of
from holdfast.launch.placing import First, create_run_folder
from holdfast.launch.stage import Place, StageOutcome, finish_late, train_stage
from holdfast.launch.telling import Say, how_to_extend, introduction, json_text, print_line
from holdfast.run.folder import RunFolder


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    folder: RunFolder
    failed_saves: int = 0
    is_last_lost: bool = False
    """Whether the last of the saves failed."""
    newest: Path | None = None
    """The newest checkpoint; None when there is none."""

    def after(self, stage: StageOutcome) -> Outcome:
        """Gives what it has come to when one more stage is done."""
        return Outcome(self.folder, self.failed_saves + stage.failed_saves, stage.is_last_lost, stage.newest)


def start(
    system: System,
    course: Course,
    *,
    command: Sequence[str],
    time_limit: float | None = None,
    begin: Begin | None = None,
    say: Say = print_line,
) -> Outcome:
    """Begins a run in a new folder and trains it to its end.

    Everything that can be wrong with the configuration and the data is found before the folder is made.

    Args:
        system: What is trained.
        course: The stages, with their configurations.
        command: What is written down as the command.
        time_limit: Seconds by which the run is to have stopped, with a checkpoint.
        begin: What it begins with, instead of what its first stage says; the folder holds that from its first moment.
        say: Prints one line.

    Raises:
        UserError: When something about the request cannot be; nothing has been created.
        Interrupted: After a signal or at the time limit, with a checkpoint saved.
        TrainingError: When training cannot go on.
    """
    interruption = Interruption(time_limit)
    resolved, *others = [without_request(one) for one in course.stages]
    check_course(system, course)
    ready = _beginning(system, resolved, begin or weights_for(system, resolved, None), say)
    folder = create_run_folder(
        system, without_request(replace(course.whole, stage=resolved.stage)), command, ready.first
    )
    run = _Run(folder, system, interruption, course, say)
    with folder.lock(), interruption:
        outcome = run.train(ready, Outcome(folder))
        for resolved in others:
            ready = _beginning(system, resolved, weights_for(system, resolved, folder), say)
            run.keep_first(ready)
            outcome = run.train(ready, outcome)
        return outcome


def resume(
    folder: RunFolder,
    *,
    stage: str | None,
    load_system: Callable[[str], System],
    options: Callable[[System], Layer],
    command: Sequence[str],
    time_limit: float | None = None,
    keep_schedule: bool = False,
    say: Say = print_line,
) -> Outcome:
    """Goes on with a run from its newest good checkpoint, or from its start when it has none.

    Stages that are finished are not trained again.

    Args:
        folder: The run.
        stage: The stage to go on with, or to add; None means all that the run trains.
        load_system: Finds the system by the name in the run's configuration.
        options: Reads the command line, once the system is known.
        command: What is written down as the command of this session.
        time_limit: Seconds by which the run is to have stopped, with a checkpoint.
        keep_schedule: Whether the rates follow the length that the run had before, not its new one.
        say: Prints one line.

    Raises:
        UserError: When an option changes what may not change; the run is as it was.
    """
    interruption = Interruption(time_limit)
    with folder.lock(), interruption:
        stored = folder.config_values()
        if stage is not None:
            check_stage(stage, stored)
        system = _system_of(folder, stored, load_system)
        asked = options(system)
        names = [stage] if stage is not None else trained_in(stored)
        course = _course_again(system, stored, asked, {*trained_in(stored), *names})
        run = _Run(folder, system, interruption, course, say)
        outcome = Outcome(folder)
        for name in names:
            ready = _next(run, name, asked, is_alone=len(names) == 1, keep_schedule=keep_schedule)
            if ready is None:
                continue
            run.note_session(ready.resolved, command)
            run.keep_first(ready)
            outcome = run.train(ready, outcome)
        return outcome


@dataclass
class _Ready:
    """A stage that is ready to be trained."""

    resolved: Resolved[Any]
    training: Training
    position: Mapping[str, Any] | None = None
    """Where its curves ended when the checkpoint was saved from which it goes on."""
    first: First | None = None
    """What it begins with that does not follow from its configuration."""


class _Run:
    """A run that is being worked on, and what its stages share."""

    def __init__(self, folder: RunFolder, system: System, interruption: Interruption, course: Course, say: Say) -> None:
        self.folder, self.system, self.course, self.say = folder, system, course, say
        self._interruption = interruption

    def train(self, ready: _Ready, outcome: Outcome) -> Outcome:
        """Trains what is left of a stage."""
        training, resolved = ready.training, ready.resolved
        self.say(introduction(self.folder, training, resolved))
        with closing(Store(self._checkpoints(resolved), keep_of(resolved.values), tell=self.say)) as store:
            if ready.first and training.record.best_step == training.clock.step:
                store.load_newest()  # gives the first state the names of the best, as a resume would
            ready.first = None
            place, position = self.place(resolved), ready.position
            stage = train_stage(place, store, training, resolved, self._interruption, position=position, say=self.say)
        return outcome.after(stage)

    def keep_first(self, ready: _Ready) -> None:
        """Writes down what a later stage begins with; the first one's is in the run's folder from the start."""
        if ready.first is None:
            return
        logs = self.folder.logs(ready.resolved.stage or UNSTAGED)
        durable.make_folder(logs)
        durable.write_file(logs / "init_from.json", json_text(ready.first.origin["init_from"]))
        with closing(Store(self._checkpoints(ready.resolved), tell=self.say)) as store:
            store.save(ready.first.state)

    def note_session(self, resolved: Resolved[Any], command: Sequence[str]) -> None:
        """Writes down that somebody goes on with the run, and with which configuration."""
        values = self.course.whole.values if self.course.has_stages else resolved.values
        self.folder.write_config(to_yaml(values), values)
        stage = {"stage": resolved.stage} if self.course.has_stages else {}
        resumed = datetime.now().isoformat(timespec="seconds")
        self.folder.add_session({"command": list(command), **stage, "resumed": resumed})

    def place(self, resolved: Resolved[Any]) -> Place:
        """Gives where a stage is in the run."""
        if not self.course.has_stages:
            return Place(self.folder)
        stage = resolved.stage or UNSTAGED
        before = steps_before(self.folder, stage, self.course.whole.values)
        return Place(self.folder, before, is_last=stage == trained_in(self.course.whole.values)[-1])

    def _checkpoints(self, resolved: Resolved[Any]) -> Path:
        return self.folder.checkpoints(resolved.stage or UNSTAGED)


def _beginning(system: System, resolved: Resolved[Any], begin: Begin | None, say: Say) -> _Ready:
    """Gives a stage at its start."""
    training = build_training(system, resolved.config, stage=resolved.stage or UNSTAGED)
    if begin is None:
        return _Ready(resolved, training)
    origin = begin(training, resolved, say)
    state = capture(training, config=resolved.values, journal={}, with_optimizer=True)
    return _Ready(resolved, training, first=First(state, origin))


def _next(run: _Run, name: str, asked: Layer, *, is_alone: bool, keep_schedule: bool) -> _Ready | None:
    """Gives a stage of a run where it goes on; None when there is nothing left to do.

    Args:
        run: The run.
        name: The stage.
        asked: What this session's command line says.
        is_alone: Whether it is the only one that is asked for: a finished one is then made longer, if that is asked.
        keep_schedule: Whether the rates follow the length that the stage had before.
    """
    folder, say = run.folder, run.say
    with closing(Store(folder.checkpoints(name), tell=say)) as store:
        found = store.load_newest()
    if found and not is_alone and is_complete(found[1]):
        say(f"the stage {name} is complete")
        return None
    values = found[1]["config"] if found else run.course.of(name).values
    layers = [plain_layer(old_length(values), "--keep-schedule")] if keep_schedule else []
    resolved = resolve_again(run.system, values, layers, asked, say)
    resolved = replace(resolved, stage=name if run.course.has_stages else None)
    apply_threads(found[1]["metadata"]["threads"] if found else folder.threads(), say)
    if found is None:
        return _beginning(run.system, resolved, weights_for(run.system, resolved, folder), say)
    training = build_training(run.system, resolved.config, stage=name)
    restore_into(training, *found, say)
    compare_platform(found[1], training, say)
    refuse_less(training)
    forget_another_best(values, resolved, training, say)
    position = found[1]["history"]["journal"]
    if training.is_over:
        finish_late(run.place(resolved), training, resolved, position)
        say(how_to_extend(folder, training))
        return None
    return _Ready(resolved, training, position)


def _system_of(folder: RunFolder, values: Mapping[str, Any], load_system: Callable[[str], System]) -> System:
    if "own_loop" in values:
        raise RunError(
            f"`{folder.path}` must be a run of a system to be resumed here, but got one of a loop of its own; "
            "go on with it by the command that began it (see provenance.json)."
        )
    if not values.get("system"):
        raise RunError(f"`{folder.path}` must say which system it trains, but its configuration has no `system`.")
    return load_system(str(values["system"]))


def _course_again(system: System, stored: Mapping[str, Any], asked: Layer, trained: Collection[str]) -> Course:
    """Gives the course of a run with the options of this session over it; it stays where it is."""

    def resolve_stage(stage: str | None) -> Resolved[Any]:
        resolved = resolve(system.config, [plain_layer(stored, "config.yaml")], stage=stage, overrides=asked)
        return without_request(replace(resolved, values={**resolved.values, "run": dict(stored["run"])}))

    names = stages_in(stored)
    everything = names == [UNSTAGED] or set(names) <= set(trained)
    return course_of(resolve_stage, only=None if everything else [name for name in names if name in trained])
