"""`holdfast train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.cli.resume import (
    Request,
    finish,
    go_on,
    go_on_from_file,
    options_of,
    outside_runs,
    seconds,
)
from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.engine.system import System
    from holdfast.launch import InitFrom

KeyWords = Annotated[list[str], Parameter(show=False)]
Patterns = Annotated[list[str], Parameter(negative="", show_default=False)]


def train(
    system: str | None = None,
    /,
    *,
    preset: str | None = None,
    config: str | None = None,
    stage: str | None = None,
    run_all_stages: bool = False,
    init_from: str | None = None,
    checkpoint: str | None = None,
    leave: Patterns = [],  # noqa: B006 - read only
    resume: str | None = None,
    epoch: int | None = None,
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
        stage: Train this one of the configured stages; by default all are trained, one after the other.
        run_all_stages: Train all stages, which is the default of a configuration with stages.
        init_from: Begin with the weights of this run (of its best checkpoint, else its latest) or file, and with
            nothing else of it.
        checkpoint: With --init-from and a run: latest, best or a file of the run.
        leave: With --init-from: weights that stay in the file, such as 'head.*'; may be given several times.
        resume: Go on with this run or checkpoint instead (auto: with the named run if it exists).
        epoch: With --resume and a file of another program: how many epochs of it are done.
        evaluate: With --resume: evaluate instead of training.
        rewind: With --resume and an older checkpoint: go on in place and set the later checkpoints aside.
        keep_schedule: With --resume: the rates follow the length that the run had before.
        time_limit: Stop in time, with a checkpoint and exit code 3 (3h30m, 45m, 1:30:00).
    """
    if init_from is None and (checkpoint is not None or leave):
        raise UserError("`--checkpoint` and `--leave` must say what --init-from takes, but got no --init-from; add it.")
    request = Request(system, preset, config, stage, epoch, rewind, keep_schedule, time_limit, tuple(key_words))
    if resume is not None and resume != "auto":
        _refuse_both(init_from)
        return _evaluate(resume, request) if evaluate else _resume(resume, request)
    if epoch is not None:
        raise UserError("`--epoch` must be said of a file, but got no --resume FILE; did you mean --epochs?")
    if evaluate:
        raise UserError("`--evaluate` must know which run, but got no --resume; add --resume RUN.")
    from holdfast.cli.requests import asked_of_a_run, resolve_course  # imports torch
    from holdfast.launch import existing_run, start

    if run_all_stages and stage is not None:
        raise UserError(f"`--run-all-stages` must stand alone, but got --stage {stage} as well; leave one of them out.")
    chosen, course = resolve_course(system, preset=preset, config=config, stage=stage, key_words=key_words)
    if run_all_stages and not course.has_stages:
        raise UserError("`--run-all-stages` must have `stages` in the configuration, but got none; leave it out.")
    asked: str | None = resume or course.whole.config.training.resume
    if asked == "auto":
        run = existing_run(chosen, course.whole)
        asked = None if run is None else str(run.path)
    elif asked is not None:
        _refuse_both(init_from)
    if asked is None:
        begin = _weights(init_from, checkpoint, leave, chosen)
        return finish(start(chosen, course, command=sys.argv, time_limit=seconds(time_limit), begin=begin))
    if (path := outside_runs(asked)) is not None:
        return go_on_from_file(path, request)
    if init_from is not None:
        print(f"{asked} is there already and goes on: --init-from is not read again")
    return go_on(asked, request, asked_of_a_run(chosen, preset=preset, config=config, key_words=key_words))


def _resume(asked: str, request: Request) -> int:
    if (path := outside_runs(asked)) is not None:
        return go_on_from_file(path, request)
    _refuse_configuration(request)
    return go_on(asked, request, options_of(request.key_words))


def _evaluate(path: str, request: Request) -> int:
    from holdfast.cli.evaluate import evaluate

    _refuse_configuration(request)
    return evaluate(path, key_words=list(request.key_words))


def _weights(asked: str | None, choice: str | None, leave: Sequence[str], system: System) -> InitFrom | None:
    """Gives the weights that were asked for; None when none were."""
    if asked is None:
        return None
    from holdfast.launch import InitFrom
    from holdfast.launch.sources import find_weights

    return InitFrom(find_weights(asked, choice=choice), system.layouts, tuple(leave))


def _refuse_both(init_from: str | None) -> None:
    if init_from is not None:
        raise UserError(
            "`--init-from` must begin a new run with nothing but weights, but got --resume as well, which goes on with "
            "everything; leave one of them out."
        )


def _refuse_configuration(request: Request) -> None:
    if request.system or request.preset or request.config:
        raise UserError(
            "`--resume` takes the configuration from the run, but got a system, --preset or --config as well; "
            "leave these out, or start a new run without --resume."
        )
