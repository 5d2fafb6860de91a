"""A run from its first moment to its last: folder, lock, checkpoint, journal and display around the loop."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
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
from holdfast.errors import CheckpointMismatch, ConfigError, Interrupted, NonFiniteLoss, RunError, TrainingError
from holdfast.run.display import Display
from holdfast.run.folder import RunFolder, Status, automatic_name, check_name
from holdfast.run.journal import Journal
from holdfast.run.provenance import describe
from holdfast.run.train_log import TrainLog

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    folder: RunFolder
    stage: str
    failed_saves: int = 0
    newest: Path | None = None
    """The newest checkpoint; None when there is none."""


def start(
    system: System,
    resolved: Resolved,
    *,
    command: Sequence[str],
    time_limit: float | None = None,
    say: Say = print,
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
    say: Say = print,
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
        stage = stage or folder.read_status().stage
        with closing(Store(folder.checkpoints(stage), tell=say)) as store:
            found = store.load_newest()
        values = found[1]["config"] if found else folder.config_values()
        if "own_loop" in values:
            raise RunError(
                f"`{folder.path}` must be a run of a system to be resumed here, but got one of a loop of its own; "
                "go on with it by the command that began it (see provenance.json)."
            )
        system = load_system(str(values.get("system")))
        layers = [plain_layer(_old_length(values), "--keep-schedule")] if keep_schedule else []
        resolved = _resolve_again(system, values, layers, options(system), say)
        if found:
            _apply_threads(found[1], say)
        training = build_training(system, resolved.config, stage=stage)
        position = None
        if found:
            _restore(training, *found, say)
            _compare_platform(found[1], training, say)
            position = found[1]["history"]["journal"]
        if training.is_over:
            # A kill may have come between the last checkpoint and this word.
            StatusKeeper(folder, training).write("finished")
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
    if system.output_dir_is_run and resolved.origins["run.root"] != "default":
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
            tell(f"{error} at step {training.clock.step}; to go on: holdfast resume {folder.path}")
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
            raise
        journal.finish(flatten(resolved.values), training.record.metrics)
        if saver.has_failed:
            status.write("failed", "trained to its end, but the last state could not be saved")
        else:
            status.write("finished")
        log.say(_conclusion(folder, training))
    say(_conclusion(folder, training))
    return Outcome(folder, stage, saver.failures, saver.last_saved or store.latest())


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
        best=training["keep_best_k"],
        mode=training["mode"],
        every=training["keep_every"],
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
        say(f"changed: {key} from {old} to {new}")
    return resolved


def _apply_threads(state: Mapping[str, Any], say: Say) -> None:
    """Uses as many threads as the run did: the order of sums, and so their bits, depend on it."""
    threads = state["metadata"]["threads"]
    if threads != torch.get_num_threads():
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
        f"to extend it: holdfast resume {folder.path} --{unit} {2 * (total or 1)}"
    )


def _last_good(store: Store, folder: RunFolder) -> str:
    newest = store.latest()
    if newest is None:
        return f"there is no checkpoint yet; begin again with: holdfast resume {folder.path}"
    return f"the last good checkpoint is {newest}; go on from it with: holdfast resume {folder.path}"


def _source_of(system: System) -> Path | None:
    """Gives the file in which a system's functions are written."""
    file = inspect.getsourcefile(system.model)
    return Path(file) if file else None


def _json(document: Any) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
