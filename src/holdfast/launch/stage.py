"""One stage of a run, from its first step to its last: journal, display and log around the loop."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.checkpoint.store import Store
from holdfast.config import Resolved, flatten
from holdfast.data.batches import worker_death
from holdfast.engine.interruption import Interruption
from holdfast.engine.saving import Saver
from holdfast.engine.state import capture
from holdfast.engine.status import StatusKeeper
from holdfast.engine.train import train as run_loop
from holdfast.engine.training import Training
from holdfast.errors import Interrupted, NonFiniteLoss, TrainingError
from holdfast.launch.telling import Say, conclusion, introduction, last_good, note_batch, resume_command
from holdfast.run.display import Display
from holdfast.run.folder import RunFolder
from holdfast.run.journal import Journal
from holdfast.run.train_log import TrainLog


@dataclass(frozen=True)
class StageOutcome:
    """What the training of a stage came to."""

    failed_saves: int = 0
    is_last_lost: bool = False
    """Whether the last of the saves failed."""
    newest: Path | None = None
    """The newest checkpoint; None when there is none."""


@dataclass(frozen=True)
class Place:
    """Where a stage is in its run."""

    folder: RunFolder
    steps_before: int | None = None
    """Steps of the stages before it; None in a run without stages."""
    is_last: bool = True
    """Whether the run is finished when this stage is."""


def train_stage(
    place: Place,
    store: Store,
    training: Training,
    resolved: Resolved[Any],
    interruption: Interruption,
    *,
    position: Mapping[str, Any] | None,
    say: Say,
) -> StageOutcome:
    """Runs the loop with everything that watches it, and writes down how it ended.

    Args:
        place: Which run it is of.
        store: Its checkpoints.
        training: The stage, where it goes on.
        resolved: Its configuration.
        interruption: Asks it to stop.
        position: Where its curves ended when the checkpoint was saved from which it goes on.
        say: Prints one line.

    Raises:
        Interrupted: After a signal or at the time limit, with a checkpoint saved.
        TrainingError: When training cannot go on.
    """
    folder, stage = place.folder, training.clock.stage
    with ExitStack() as stack:
        journal = _journal(place, training, resolved, position)
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
                with_optimizer=resolved.config.training.save_optimizer,
            ),
            tell=tell,
        )
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
            _write_end(status, place, stage)
        log.say(conclusion(folder, training))
    say(conclusion(folder, training))
    return StageOutcome(saver.failures, saver.has_failed, saver.last_saved or store.latest())


def finish_late(place: Place, training: Training, resolved: Resolved[Any], position: Any) -> None:
    """Writes what a kill between the last checkpoint and the end left unwritten, if anything."""
    stage, noted = training.clock.stage, place.folder.read_status()
    if noted.stage != stage or noted.state == "finished" or noted.message == _complete(stage):
        return
    journal = _journal(place, training, resolved, position)
    journal.finish(flatten(resolved.values), training.record.metrics)
    journal.close()
    _write_end(StatusKeeper(place.folder, training), place, stage)


def _write_end(status: StatusKeeper, place: Place, stage: str) -> None:
    """Writes that a stage is finished, and the run with it when no other stage follows."""
    if place.is_last:
        status.write("finished")
    else:
        status.write("running", _complete(stage))


def _complete(stage: str) -> str:
    return f"the stage {stage} is complete"


def _journal(place: Place, training: Training, resolved: Resolved[Any], position: Any) -> Journal:
    logging = resolved.config.logging
    return Journal(
        place.folder.logs(training.clock.stage),
        tensorboard=logging.tensorboard,
        log_interval=logging.log_interval,
        position=position,
        steps_before=place.steps_before,
    )


def _display(training: Training) -> Display:
    return Display(
        total_epochs=training.plan.epochs,
        total_steps=training.plan.total_steps,
        steps_per_epoch=training.plan.steps_per_epoch,
        best_name=training.goal.monitor,
        start=training.clock,
    )
