"""`holdfast train` and `holdfast resume`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.config import Layer, Resolved
    from holdfast.engine.system import System
    from holdfast.launch import Outcome

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
    """
    from holdfast.cli.requests import resolve_request  # imports torch

    if resume is not None and resume != "auto":
        if system or preset or config:
            raise UserError(
                "`--resume` takes the configuration from the run, but got a system, --preset or --config as well; "
                "leave these out, or start a new run without --resume."
            )
        return _evaluate(resume, key_words) if evaluate else _resume(resume, stage, key_words)
    if evaluate:
        raise UserError("`--evaluate` must know which run, but got no --resume; add --resume RUN.")
    from holdfast.launch import existing_run, start

    chosen, resolved = resolve_request(system, preset=preset, config=config, stage=stage, key_words=key_words)
    _refuse_several_stages(resolved)
    if resolved.config.training.resume:
        return _resume(resolved.config.training.resume, stage, key_words)
    if resume == "auto" and (run := existing_run(chosen, resolved)) is not None:
        return _resume(str(run), stage, key_words)
    return _finish(start(chosen, resolved, command=sys.argv))


def resume(run: str, /, *, stage: str | None = None, key_words: KeyWords = []) -> int:  # noqa: B006 - read only
    """Go on with a run where it stopped.

    Needs nothing but the run: its configuration is in its folder. Options change what may change
    (`--epochs 200`, `--lr 1e-4`, `--data-path DIR`); the rest is refused by name.

    Args:
        run: A run folder, its name, or a checkpoint in it.
        stage: Which stage to go on with, if not the one that was running.
    """
    return _resume(run, stage, key_words)


def _resume(path: str, stage: str | None, key_words: Sequence[str]) -> int:
    from holdfast.launch import resume as resume_run
    from holdfast.run.find import find_checkpoint
    from holdfast.systems import load_system

    folder, found_stage, checkpoint = find_checkpoint(path, choice=None, prefer=("latest",))
    _refuse_older(checkpoint)
    return _finish(
        resume_run(
            folder,
            stage=stage or (found_stage if checkpoint else None),
            load_system=load_system,
            options=options_of(key_words),
            command=sys.argv,
        )
    )


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


def _refuse_older(checkpoint: Path | None) -> None:
    if checkpoint is None:
        return
    latest = checkpoint.with_name("checkpoint_latest.pth")
    if not (latest.exists() and latest.samefile(checkpoint)):
        raise UserError(
            f"`resume` must go on from the latest checkpoint of a run, but got {checkpoint}; resume the run itself."
        )


def _finish(outcome: Outcome) -> int:
    if outcome.failed_saves:
        print(
            f"holdfast: {outcome.failed_saves} saves failed; the newest good checkpoint is {outcome.newest}; "
            f"make room, then `holdfast resume {outcome.folder.path}`",
            file=sys.stderr,
        )
        return 1
    return 0


def options_of(key_words: Sequence[str]) -> Callable[[System], Layer]:
    """Gives the function that reads the words once the system is known."""
    from holdfast.cli.requests import read_words

    return lambda system: read_words(key_words, system)
