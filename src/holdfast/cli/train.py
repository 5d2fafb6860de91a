"""`holdfast train` and `holdfast resume`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.clock import parse_duration
from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.config import Layer, Resolved
    from holdfast.engine.system import System
    from holdfast.launch import Outcome
    from holdfast.run.folder import RunFolder

KeyWords = Annotated[list[str], Parameter(show=False)]


def train(
    system: str | None = None,
    /,
    *,
    preset: str | None = None,
    config: str | None = None,
    stage: str | None = None,
    resume: str | None = None,
    evaluate: bool = False,
    rewind: bool = False,
    keep_schedule: bool = False,
    time_limit: str | None = None,
    key_words: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Train a system, in a new run folder.

    Any configuration key is an option, too: `--lr 5e-4`, `--training.clip 1.0`, `--no-tensorboard`.
    `holdfast config SYSTEM` lists them all.

    Args:
        system: A built-in system (glint) or your own, package.module:name. May stand in the config file instead.
        preset: A ready configuration of the system: tiny learns on generated data in minutes, default has the
            published values.
        config: A YAML file that lies over the system's defaults.
        stage: Which of the configured stages to train.
        resume: Go on with this run or checkpoint instead (auto: with the named run if it exists).
        evaluate: With --resume: evaluate instead of training.
        rewind: With --resume and an older checkpoint: go on in place and set the later checkpoints aside.
        keep_schedule: With --resume: the rates follow the length that the run had before.
        time_limit: Stop in time, with a checkpoint and exit code 3 (3h30m, 45m, 1:30:00).
    """
    from holdfast.cli.requests import asked_of_a_run, resolve_request  # imports torch

    if resume is not None and resume != "auto":
        if system or preset or config:
            raise UserError(
                "`--resume` takes the configuration from the run, but got a system, --preset or --config as well; "
                "leave these out, or start a new run without --resume."
            )
        if evaluate:
            return _evaluate(resume, key_words)
        return _resume(
            resume, stage, options_of(key_words), rewind=rewind, keep_schedule=keep_schedule, time_limit=time_limit
        )
    if evaluate:
        raise UserError("`--evaluate` must know which run, but got no --resume; add --resume RUN.")
    from holdfast.launch import existing_run, start

    chosen, resolved = resolve_request(system, preset=preset, config=config, stage=stage, key_words=key_words)
    _refuse_several_stages(resolved)
    asked: str | None = resume or resolved.config.training.resume
    if asked == "auto":
        run = existing_run(chosen, resolved)
        asked = None if run is None else str(run.path)
    if asked is not None:
        layer = asked_of_a_run(chosen, preset=preset, config=config, key_words=key_words)
        return _resume(asked, stage, layer, rewind=rewind, keep_schedule=keep_schedule, time_limit=time_limit)
    return _finish(start(chosen, resolved, command=sys.argv, time_limit=_seconds(time_limit)))


def resume(
    run: str,
    /,
    *,
    stage: str | None = None,
    rewind: bool = False,
    keep_schedule: bool = False,
    time_limit: str | None = None,
    key_words: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Go on with a run where it stopped.

    Needs nothing but the run: its configuration is in its folder. Options change what may change
    (`--epochs 200`, `--lr 1e-4`, `--data-path DIR`); the rest is refused by name.

    Args:
        run: A run folder or its name; or an older checkpoint of it: then the run NAME-2 starts from there.
        stage: Which stage to go on with, if not the one that was running.
        rewind: Go on from an older checkpoint in place, and set the later checkpoints aside.
        keep_schedule: The rates follow the length that the run had before, not its new one.
        time_limit: Stop in time, with a checkpoint and exit code 3 (3h30m, 45m, 1:30:00).
    """
    return _resume(run, stage, options_of(key_words), rewind=rewind, keep_schedule=keep_schedule, time_limit=time_limit)


def _resume(
    path: str,
    stage: str | None,
    options: Callable[[System], Layer],
    *,
    rewind: bool = False,
    keep_schedule: bool = False,
    time_limit: str | None = None,
) -> int:
    from holdfast.launch import resume as resume_run
    from holdfast.run.find import find_checkpoint
    from holdfast.systems import load_system

    folder, found_stage, checkpoint = find_checkpoint(path, choice=None, prefer=("latest",))
    limit = _seconds(time_limit)
    chosen = stage or (found_stage if checkpoint else None)
    if checkpoint is not None:
        folder = _at(folder, found_stage, checkpoint, rewind=rewind)
    outcome = resume_run(
        folder,
        stage=chosen,
        load_system=load_system,
        options=options,
        command=sys.argv,
        time_limit=limit,
        keep_schedule=keep_schedule,
    )
    return _finish(outcome)


def _at(folder: RunFolder, stage: str, checkpoint: Path, *, rewind: bool) -> RunFolder:
    """Gives the run that goes on from a checkpoint: the same for its latest, else a new one or the same rewound."""
    from holdfast import rewind as past

    if past.is_latest(checkpoint):
        return folder
    if rewind:
        for path in past.rewind(folder, stage, checkpoint):
            print(f"set aside: {path}")
        return folder
    forked = past.fork(folder, stage, checkpoint, command=sys.argv)
    print(f"{checkpoint} is not the latest of its run: going on as {forked.path} (--rewind goes on in place)")
    return forked


def _seconds(time_limit: str | None) -> float | None:
    if time_limit is None:
        return None
    try:
        return parse_duration(time_limit)
    except ValueError as error:
        raise UserError(f"`--time-limit` {error}.") from error


def _evaluate(path: str, key_words: Sequence[str]) -> int:
    from holdfast.cli.evaluate import evaluate

    return evaluate(path, key_words=list(key_words))


def _refuse_several_stages(resolved: Resolved) -> None:
    names = [stage.name for stage in resolved.config.stages]
    if names and resolved.stage is None:
        raise UserError(
            f"`--stage` must say which of the stages {', '.join(names)} is trained, but got none; "
            f"add --stage {names[0]}."
        )


def _finish(outcome: Outcome) -> int:
    if outcome.failed_saves:
        saves = "1 save" if outcome.failed_saves == 1 else f"{outcome.failed_saves} saves"
        advice = (
            f"make room, then `holdfast resume {outcome.folder.path}`"
            if outcome.is_last_lost
            else "the last state is saved"
        )
        newest = outcome.newest or "none"
        print(f"holdfast: {saves} failed; the newest good checkpoint is {newest}; {advice}", file=sys.stderr)
        return 1
    return 0


def options_of(key_words: Sequence[str]) -> Callable[[System], Layer]:
    """Gives the function that reads the words once the system is known."""
    from holdfast.cli.requests import read_words

    return lambda system: read_words(key_words, system)
