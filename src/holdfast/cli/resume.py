"""`holdfast resume`, and what `holdfast train --resume` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.clock import parse_duration
from holdfast.errors import RunError, UserError

if TYPE_CHECKING:
    from holdfast.config import Layer
    from holdfast.engine.system import System
    from holdfast.launch import Outcome
    from holdfast.run.folder import RunFolder

KeyWords = Annotated[list[str], Parameter(show=False)]

_FOREIGN = (".bin", ".ckpt", ".pkl", ".pt", ".pth", ".safetensors")
"""How files end that make a folder a checkpoint of somebody else."""


@dataclass(frozen=True)
class Request:
    """What a command line asks for besides what is gone on from."""

    system: str | None
    preset: str | None
    config: str | None
    stage: str | None
    epoch: int | None
    rewind: bool
    keep_schedule: bool
    time_limit: str | None
    key_words: tuple[str, ...]


def resume(
    run: str,
    /,
    *,
    stage: str | None = None,
    epoch: int | None = None,
    rewind: bool = False,
    keep_schedule: bool = False,
    time_limit: str | None = None,
    key_words: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Go on with a run where it stopped.

    Needs nothing but the run: its configuration is in its folder. Options change what may change
    (`--epochs 200`, `--lr 1e-4`, `--data-path DIR`); the rest is refused by name.

    A checkpoint that lies in no run begins a new one, which goes on from there.

    Args:
        run: A run folder or its name; an older checkpoint of it: then the run NAME-2 starts from there; or a file
            outside any run.
        stage: Which stage to go on with, if not the one that was running.
        epoch: How many epochs are done in a file of another program, where that cannot be told.
        rewind: Go on from an older checkpoint in place, and set the later checkpoints aside.
        keep_schedule: The rates follow the length that the run had before, not its new one.
        time_limit: Stop in time, with a checkpoint and exit code 3 (3h30m, 45m, 1:30:00).
    """
    request = Request(None, None, None, stage, epoch, rewind, keep_schedule, time_limit, tuple(key_words))
    if (path := outside_runs(run)) is not None:
        return go_on_from_file(path, request)
    return go_on(run, request, options_of(key_words))


def outside_runs(text: str) -> Path | None:
    """Gives the file, or the folder of a foreign checkpoint, that lies in no run; None for anything else."""
    from holdfast.launch.sources import is_outside_runs
    from holdfast.run.find import find_run

    path = Path(text).expanduser()
    if not is_outside_runs(path):
        return None
    if path.is_dir():
        with suppress(RunError):
            find_run(text)
            return None
        if not any(one.suffix in _FOREIGN for one in path.iterdir()):
            return None
    return path


def go_on(path: str, request: Request, options: Callable[[System], Layer]) -> int:
    """Goes on with a run, and gives the exit code."""
    from holdfast.launch import resume as resume_run
    from holdfast.run.find import find_checkpoint
    from holdfast.systems import load_system

    if request.epoch is not None:
        raise UserError(f"`--epoch` must be said of a file outside any run, but got {path}; did you mean --epochs?")
    folder, found_stage, checkpoint = find_checkpoint(path, choice=None, prefer=())
    limit = seconds(request.time_limit)
    chosen = request.stage or (found_stage if checkpoint else None)
    if checkpoint is not None:
        folder = _at(folder, found_stage, checkpoint, rewind=request.rewind)
    outcome = resume_run(
        folder,
        stage=chosen,
        load_system=load_system,
        options=options,
        command=sys.argv,
        time_limit=limit,
        keep_schedule=request.keep_schedule,
    )
    return finish(outcome)


def go_on_from_file(path: Path, request: Request) -> int:
    """Begins a new run that goes on from a file outside any run, and gives the exit code."""
    from holdfast.cli.requests import layouts_for, resolve_file
    from holdfast.launch import GoOnFrom, start
    from holdfast.launch.sources import read_source

    if request.rewind:
        raise UserError(f"`--rewind` must set checkpoints of a run aside, but {path} lies in no run; leave it out.")
    limit, layouts = seconds(request.time_limit), layouts_for(request.system, request.config)
    system, course = resolve_file(
        read_source(path, layouts, epoch=request.epoch),
        request.system,
        preset=request.preset,
        config=request.config,
        stage=request.stage,
        key_words=request.key_words,
        keep_schedule=request.keep_schedule,
    )
    begin = GoOnFrom(path, layouts, request.epoch)
    return finish(start(system, course, command=sys.argv, time_limit=limit, begin=begin))


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


def seconds(time_limit: str | None) -> float | None:
    """Reads a time limit.

    Raises:
        UserError: When it is no time.
    """
    if time_limit is None:
        return None
    try:
        return parse_duration(time_limit)
    except ValueError as error:
        raise UserError(f"`--time-limit` {error}.") from error


def finish(outcome: Outcome) -> int:
    """Gives the exit code, and says which saves have failed."""
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
