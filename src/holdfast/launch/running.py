"""A run from its first moment to its last: folder, lock, checkpoint, journal and display around the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast.assembly import build_training
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store
from holdfast.config import Layer, Resolved, flatten, plain_layer, to_yaml
from holdfast.data.batches import worker_death
from holdfast.engine.interruption import Interruption
from holdfast.engine.opening import keep_in
from holdfast.engine.saving import Saver
from holdfast.engine.state import capture
from holdfast.engine.status import StatusKeeper
from holdfast.engine.system import System
from holdfast.engine.train import train as run_loop
from holdfast.engine.training import Training
from holdfast.errors import (
    Interrupted,
    NonFiniteLoss,
    RunError,
    TrainingError,
)
from holdfast.launch.going_on import (
    apply_threads,
    check_stage,
    compare_platform,
    forget_another_best,
    old_length,
    refuse_less,
    resolve_again,
    restore_into,
    without_request,
)
from holdfast.launch.placing import create_run_folder
from holdfast.launch.telling import (
    Say,
    conclusion,
    how_to_extend,
    introduction,
    last_good,
    note_batch,
    print_line,
    resume_command,
)
from holdfast.run.display import Display
from holdfast.run.folder import RunFolder
from holdfast.run.journal import Journal
from holdfast.run.train_log import TrainLog


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    folder: RunFolder
    stage: str
    failed_saves: int = 0
    is_last_lost: bool = False
    """Whether the last of the saves failed."""
    newest: Path | None = None
    """The newest checkpoint; None when there is none."""


def start(
    system: System,
    resolved: Resolved,
    *,
    command: Sequence[str],
    time_limit: float | None = None,
    say: Say = print_line,
) -> Outcome:
    """Begins a run in a new folder and trains it to its end.

    Everything that can be wrong with the configuration and the data is found before the folder is made.

    Args:
        system: What is trained.
        resolved: Its configuration.
        command: What is written down as the command.
        time_limit: Seconds by which the run is to have stopped, with a checkpoint.
        say: Prints one line.

    Raises:
        UserError: When something about the request cannot be; nothing has been created.
        Interrupted: After a signal or at the time limit, with a checkpoint saved.
        TrainingError: When training cannot go on.
    """
    stage = resolved.stage or "train"
    resolved = without_request(resolved)
    interruption = Interruption(time_limit)
    training = build_training(system, resolved.config, stage=stage)
    folder = create_run_folder(system, resolved, command)
    with folder.lock():
        say(introduction(folder, training, resolved))
        with closing(Store(folder.checkpoints(stage), _keep(resolved.values), tell=say)) as store:
            return _train(folder, store, training, resolved, interruption, position=None, say=say)


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

    Args:
        folder: The run.
        stage: The stage to go on with; None means the one that was running.
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
    with folder.lock():
        if stage is not None:
            check_stage(stage, folder.config_values())
        stage = stage or folder.read_status().stage
        with closing(Store(folder.checkpoints(stage), tell=say)) as store:
            found = store.load_newest()
        values = found[1]["config"] if found else folder.config_values()
        if "own_loop" in values:
            raise RunError(
                f"`{folder.path}` must be a run of a system to be resumed here, but got one of a loop of its own; "
                "go on with it by the command that began it (see provenance.json)."
            )
        if not values.get("system"):
            raise RunError(f"`{folder.path}` must say which system it trains, but its configuration has no `system`.")
        check_stage(stage, values)
        system = load_system(str(values.get("system")))
        layers = [plain_layer(old_length(values), "--keep-schedule")] if keep_schedule else []
        resolved = resolve_again(system, values, layers, options(system), say)
        apply_threads(found[1]["metadata"]["threads"] if found else folder.threads(), say)
        training = build_training(system, resolved.config, stage=stage)
        position = None
        if found:
            restore_into(training, *found, say)
            compare_platform(found[1], training, say)
            refuse_less(training)
            forget_another_best(values, resolved, training, say)
            position = found[1]["history"]["journal"]
        if training.is_over:
            if folder.read_status().state != "finished":
                _finish_late(folder, training, resolved, position)
            say(how_to_extend(folder, training))
            return Outcome(folder, stage)
        _note_session(folder, resolved, command)
        say(introduction(folder, training, resolved))
        with closing(Store(folder.checkpoints(stage), _keep(resolved.values), tell=say)) as store:
            return _train(folder, store, training, resolved, interruption, position=position, say=say)


def _train(
    folder: RunFolder,
    store: Store,
    training: Training,
    resolved: Resolved,
    interruption: Interruption,
    *,
    position: Mapping[str, Any] | None,
    say: Say,
) -> Outcome:
    """Runs the loop with everything that watches it, and writes down how it ended."""
    config, stage = resolved.config, training.clock.stage
    with ExitStack() as stack:
        journal = Journal(
            folder.logs(stage),
            tensorboard=config.logging.tensorboard,
            log_interval=config.logging.log_interval,
            position=position,
        )
        stack.callback(journal.close)
        display = stack.enter_context(_display(training))
        status = StatusKeeper(folder, training)
        log = TrainLog(folder.logs(stage), total_epochs=training.plan.epochs, best_name=training.goal.monitor)
        training.observers = (journal, log, display, status)

        def tell(line: str) -> None:
            display.say(line)
            log.say(line)

        store.tell = tell
        log.say(introduction(folder, training, resolved))
        saver = Saver(
            store,
            lambda training: capture(
                training,
                config=resolved.values,
                journal=journal.position(),
                with_optimizer=config.training.save_optimizer,
            ),
            tell=tell,
        )
        stack.enter_context(interruption)
        status.write("running")
        try:
            run_loop(training, saver, interruption)
        except Interrupted as error:
            status.write("interrupted", str(error))
            tell(f"{error} at step {training.clock.step}; to go on: {resume_command(folder)}")
            raise
        except BaseException as raised:
            interruption.leave_children_alone()
            error = worker_death(raised) or raised
            status.write("failed", f"{type(error).__name__}: {error}")
            log.say(f"failed at step {training.clock.step}: {type(error).__name__}: {error}")
            if isinstance(error, NonFiniteLoss):
                note_batch(folder.checkpoints(stage), training, str(error))
            if isinstance(error, TrainingError):
                raise type(error)(f"{error}; {last_good(store, folder)}") from raised
            raised.add_note(last_good(store, folder))
            raise
        journal.finish(flatten(resolved.values), training.record.metrics)
        if saver.has_failed:
            status.write("failed", "trained to its end, but the last state could not be saved")
        else:
            status.write("finished")
        log.say(conclusion(folder, training))
    say(conclusion(folder, training))
    return Outcome(folder, stage, saver.failures, saver.has_failed, saver.last_saved or store.latest())


def _finish_late(folder: RunFolder, training: Training, resolved: Resolved, position: Any) -> None:
    """Writes what a kill between the last checkpoint and the end left unwritten."""
    logging = resolved.config.logging
    journal = Journal(
        folder.logs(training.clock.stage),
        tensorboard=logging.tensorboard,
        log_interval=logging.log_interval,
        position=position,
    )
    journal.finish(flatten(resolved.values), training.record.metrics)
    journal.close()
    StatusKeeper(folder, training).write("finished")


def _note_session(folder: RunFolder, resolved: Resolved, command: Sequence[str]) -> None:
    folder.write_config(to_yaml(resolved.values), resolved.values)
    folder.add_session({"command": list(command), "resumed": datetime.now().isoformat(timespec="seconds")})


def _display(training: Training) -> Display:
    return Display(
        total_epochs=training.plan.epochs,
        total_steps=training.plan.total_steps,
        steps_per_epoch=training.plan.steps_per_epoch,
        best_name=training.goal.monitor,
        start=training.clock,
    )


def stores_of(folder: RunFolder) -> list[Store]:
    """Gives the folders of checkpoints of a run, one for each stage that has saved, with the run's own rules."""
    values = folder.config_values()
    places = [folder.path / "checkpoints", *sorted((folder.path / "checkpoints").glob("*/"))]
    return [Store(place, _keep(values)) for place in places if any(place.glob("checkpoint_*.pth"))]


def _keep(values: Mapping[str, Any]) -> Keep:
    if "own_loop" in values:
        return keep_in(values)
    training = values["training"]
    return Keep(
        last=training["keep_last_n"],
        best=training.get("keep_best_k", 0),
        mode=training["mode"],
        every=training.get("keep_every"),
        milestones=frozenset(training["milestones"]),
        unit="steps" if training["steps"] is not None else "epochs",
    )
