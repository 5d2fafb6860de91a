"""A run from its first moment to its last: folder, lock, checkpoint, journal and display around the loop."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from holdfast.assembly import build_training
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store
from holdfast.config import Layer, Resolved, flatten, plain_layer, refuse_changes, resolve, to_yaml
from holdfast.data.batches import worker_death
from holdfast.data.streams import StreamBatches
from holdfast.durable import make_folder, write_file
from holdfast.engine.interruption import Interruption
from holdfast.engine.opening import keep_in
from holdfast.engine.saving import Saver
from holdfast.engine.state import capture, platform_facts, restore
from holdfast.engine.status import StatusKeeper
from holdfast.engine.system import System
from holdfast.engine.train import train as run_loop
from holdfast.engine.training import Training
from holdfast.errors import (
    CheckpointMismatch,
    ConfigError,
    Interrupted,
    NonFiniteLoss,
    RunError,
    TrainingError,
    UserError,
)
from holdfast.run.display import Display
from holdfast.run.folder import RunFolder, Status, automatic_name, check_name
from holdfast.run.journal import Journal
from holdfast.run.provenance import describe
from holdfast.run.train_log import TrainLog

Say = Callable[[str], None]


def _print(text: str) -> None:
    """Prints a line; a terminal or pipe that has gone away must not stop a training."""
    with suppress(OSError):
        print(text, flush=True)


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
    say: Say = _print,
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
    resolved = _without_request(resolved)
    interruption = Interruption(time_limit)
    training = build_training(system, resolved.config, stage=stage)
    folder = _create_folder(system, resolved, command)
    with folder.lock():
        say(_introduction(folder, training, resolved))
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
    say: Say = _print,
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
            _check_stage(stage, folder.config_values())
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
        _check_stage(stage, values)
        system = load_system(str(values.get("system")))
        layers = [plain_layer(_old_length(values), "--keep-schedule")] if keep_schedule else []
        resolved = _resolve_again(system, values, layers, options(system), say)
        _apply_threads(found[1]["metadata"]["threads"] if found else folder.threads(), say)
        training = build_training(system, resolved.config, stage=stage)
        position = None
        if found:
            _restore(training, *found, say)
            _compare_platform(found[1], training, say)
            _refuse_less(training)
            _forget_another_best(values, resolved, training, say)
            position = found[1]["history"]["journal"]
        if training.is_over:
            if folder.read_status().state != "finished":
                _finish_late(folder, training, resolved, position)
            say(_how_to_extend(folder, training))
            return Outcome(folder, stage)
        _note_session(folder, resolved, command)
        say(_introduction(folder, training, resolved))
        with closing(Store(folder.checkpoints(stage), _keep(resolved.values), tell=say)) as store:
            return _train(folder, store, training, resolved, interruption, position=position, say=say)


def _create_folder(system: System, resolved: Resolved, command: Sequence[str]) -> RunFolder:
    config = resolved.config
    provenance = describe(command, seed=config.seed, source=_source_of(system))
    files: dict[str, str | bytes] = dict(provenance.files)
    files["config.yaml"] = to_yaml(resolved.values)
    files["config.json"] = _json(resolved.values)
    files["provenance.json"] = _json(provenance.document)
    files["git_commit.txt"] = provenance.commit + "\n"
    files["status.json"] = Status(state="running", stage=resolved.stage or "train").to_json()
    path, numbered = _place(system, resolved)
    return RunFolder.create(path, files, numbered=numbered)


def _place(system: System, resolved: Resolved) -> tuple[Path, bool]:
    """Gives the folder of a new run, and whether an equal name gets a number."""
    run = resolved.config.run
    if run.name is not None:
        check_name(run.name)
        return Path(run.root) / run.name, False
    if system.output_dir_is_run and resolved.origins["run.root"].startswith("command line"):
        return Path(run.root), False
    flat = flatten(resolved.values)
    label = str(flat.get("model.name") or system.name)
    named = [(key, flat[key]) for key in system.named_by if key in flat]
    return Path(run.root) / automatic_name(label, named, datetime.now()), True


def existing_run(system: System, resolved: Resolved) -> RunFolder | None:
    """Gives the run that a request with a fixed name would make, when it is there already."""
    path, numbered = _place(system, resolved)
    if numbered:
        raise ConfigError(
            "`--resume auto` must know the run's name, but got none; add --name NAME, or resume a run by its folder."
        )
    return RunFolder.open(path) if RunFolder.is_run(path) else None


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
        log.say(_introduction(folder, training, resolved))
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
            tell(f"{error} at step {training.clock.step}; to go on: {_resume_command(folder)}")
            raise
        except BaseException as raised:
            interruption.leave_children_alone()
            error = worker_death(raised) or raised
            status.write("failed", f"{type(error).__name__}: {error}")
            log.say(f"failed at step {training.clock.step}: {type(error).__name__}: {error}")
            if isinstance(error, NonFiniteLoss):
                _note_batch(folder.checkpoints(stage), training, str(error))
            if isinstance(error, TrainingError):
                raise type(error)(f"{error}; {_last_good(store, folder)}") from raised
            raised.add_note(_last_good(store, folder))
            raise
        journal.finish(flatten(resolved.values), training.record.metrics)
        if saver.has_failed:
            status.write("failed", "trained to its end, but the last state could not be saved")
        else:
            status.write("finished")
        log.say(_conclusion(folder, training))
    say(_conclusion(folder, training))
    return Outcome(folder, stage, saver.failures, saver.has_failed, saver.last_saved or store.latest())


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


def _restore(training: Training, path: Path, state: Mapping[str, Any], say: Say) -> None:
    try:
        has_optimizer = restore(training, state)
    except CheckpointMismatch as error:
        raise CheckpointMismatch(f"{path}: {error}") from error
    if not has_optimizer:
        rate = training.learner.base_rates[0]
        say(
            f"{path.name} has no optimizer state: weights, counters and the best are restored, "
            f"the optimizer starts anew at rate {rate:g}; expect an unsteady first epoch"
        )
    clock = training.clock
    say(f"going on from {path} (epoch {clock.epoch}, step {clock.step})")


def _old_length(values: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the setting that keeps the schedule of a run at the length that it has."""
    training = values["training"]
    length = training.get("schedule_length") or training["steps"] or training["epochs"]
    return {"training": {"schedule_length": length}}


def _check_stage(stage: str, values: Mapping[str, Any]) -> None:
    known = [one["name"] for one in values.get("stages") or []] or ["train"]
    if stage not in known:
        raise UserError(f"`stage` must be one of this run's ({', '.join(known)}), but got {stage!r}; name one of them.")


def _refuse_less(training: Training) -> None:
    plan, clock = training.plan, training.clock
    if clock.step > plan.total_steps:
        unit, done, wanted = ("epochs", clock.epoch, plan.epochs) if plan.epochs else ("steps", clock.step, plan.steps)
        raise UserError(
            f"`training.{unit}` must be at least the {done} that are done, but got {wanted}; "
            "to go on from an earlier state resume an older checkpoint."
        )


def _forget_another_best(values: Mapping[str, Any], resolved: Resolved, training: Training, say: Say) -> None:
    """Begins the best anew when it is judged by another metric than before."""
    before = (values["training"]["monitor"].lower(), values["training"]["mode"])
    if before != (training.goal.monitor.lower(), training.goal.mode):
        record = training.record
        record.best_metric, record.best_step, record.since_best = None, None, 0
        say(f"the best is looked for anew, by {training.goal.monitor} ({training.goal.mode})")


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


def _compare_platform(state: Mapping[str, Any], training: Training, say: Say) -> None:
    """Says in one line what has changed that may round otherwise."""
    before, now = state["metadata"], platform_facts(training.device)
    changed = [f"{name} {before.get(name)} -> {value}" for name, value in now.items() if before.get(name) != value]
    if changed:
        say(f"not exact from here on: another platform may round otherwise ({', '.join(changed)})")


def _resolve_again(
    system: System, values: Mapping[str, Any], layers: Sequence[Layer], options: Layer, say: Say
) -> Resolved:
    """Resolves a run's own configuration with the options of this session over it."""
    stored = [plain_layer(values, "checkpoint")]
    resolved = resolve(system.config, [*stored, *layers], overrides=options)
    # Compared as this release reads both: a key that the run does not know yet has its default.
    for key, old, new in refuse_changes(resolve(system.config, stored).values, resolved.values):
        if key.startswith("run."):
            say(f"{key} is left at {old}: a run stays where it is (to rename it, move its folder)")
        else:
            say(f"changed: {key} from {old} to {new}")
    return _without_request(replace(resolved, values={**resolved.values, "run": dict(values["run"])}))


def _without_request(resolved: Resolved) -> Resolved:
    """Gives the configuration without the wish to resume, which is not one of the run's settings."""
    training = {**resolved.values["training"], "resume": None}
    return replace(resolved, values={**resolved.values, "training": training})


def _apply_threads(threads: int | None, say: Say) -> None:
    """Uses as many threads as the run did: the order of sums, and so their bits, depend on it."""
    if threads is not None and threads != torch.get_num_threads():
        say(f"using {threads} threads as the run did, instead of {torch.get_num_threads()}: its bits depend on it")
        torch.set_num_threads(threads)


def _note_session(folder: RunFolder, resolved: Resolved, command: Sequence[str]) -> None:
    folder.write_config(to_yaml(resolved.values), resolved.values)
    folder.add_session({"command": list(command), "resumed": datetime.now().isoformat(timespec="seconds")})


def _note_batch(place: Path, training: Training, message: str) -> None:
    """Writes the samples of the step that failed beside the checkpoints."""
    step = training.clock.step
    planned = training.batches.plan(step)
    indices = [index for microbatch in planned for index in microbatch.indices]
    make_folder(place)
    note = {"step": step + 1, "message": message, "epoch": training.clock.epoch + 1, "samples": indices}
    write_file(place / f"nonfinite_step{step + 1}.json", _json(note))


def _introduction(folder: RunFolder, training: Training, resolved: Resolved) -> str:
    count = sum(parameter.numel() for parameter in training.learner.model.parameters())
    held_out = training.evaluation.batches.num_samples if training.evaluation else 0
    stream = ""
    if isinstance(training.batches, StreamBatches) and not training.batches.is_exact:
        stream = (
            "\nnot exact: the training data is a stream that cannot say where it is, so a resumed run begins it anew; "
            "give the data set `state_dict` and `load_state_dict`, or __getitem__ and __len__"
        )
    return (
        f"{resolved.config.system}: {count:,} parameters, {training.batches.num_samples} training and {held_out} "
        f"held-out samples, on {training.device} in {training.learner.precision}\nrun: {folder.path}{stream}"
    )


def _conclusion(folder: RunFolder, training: Training) -> str:
    record, goal, clock = training.record, training.goal, training.clock
    best = ""
    if record.best_metric is not None:
        best = f"; best {goal.monitor} {record.best_metric:.6g} at step {record.best_step}"
    return f"finished: {clock.epoch} epochs, {clock.step} steps{best}\n{folder.path}"


def _how_to_extend(folder: RunFolder, training: Training) -> str:
    plan = training.plan
    unit, total = ("epochs", plan.epochs) if plan.epochs is not None else ("steps", plan.total_steps)
    return (
        f"{folder.path} is complete: {total} of {total} {unit} are done; "
        f"to extend it: {_resume_command(folder)} --{unit} {2 * (total or 1)}"
    )


def _resume_command(folder: RunFolder) -> str:
    """Gives the command that goes on with a run, ready to be pasted into a shell."""
    path = folder.path
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"holdfast resume {shlex.quote(str(shown))}"


def _last_good(store: Store, folder: RunFolder) -> str:
    newest = store.latest()
    if newest is None:
        return f"there is no checkpoint yet; begin again with: {_resume_command(folder)}"
    return f"the last good checkpoint is {newest}; go on from it with: {_resume_command(folder)}"


def _source_of(system: System) -> Path | None:
    """Gives the file in which a system's functions are written."""
    file = inspect.getsourcefile(system.model)
    return Path(file) if file else None


def _json(document: Any) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
