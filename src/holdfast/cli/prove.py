"""`holdfast prove`."""

from __future__ import annotations

import json as json_library
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.errors import UserError

if TYPE_CHECKING:
    from holdfast.proof.subject import Kills, Subject
    from holdfast.proof.verdict import Verdict

KeyWords = Annotated[list[str], Parameter(show=False)]


def prove(
    system: str | None = None,
    /,
    *,
    preset: str | None = None,
    config: str | None = None,
    stage: str | None = None,
    kill_at: str | None = None,
    kills: int | None = None,
    kill_seed: int = 0,
    workers_after: int | None = None,
    output_dir: str | None = None,
    json: bool = False,
    key_words: KeyWords = [],  # noqa: B006 - read only
    script: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Prove that a training survives being killed: train, kill, resume, compare with the uninterrupted run.

    Trains once undisturbed and once with real kills (SIGKILL), goes on after each, and compares every step, the last
    and the best state and the history, to the last bit. Exit code 0: equal. Exit code 1: different; the first part and
    step that differ are named.

    A script with a loop of its own that uses holdfast.open_run stands behind two hyphens:
    `holdfast prove -- python train.py --lr 0.1`. Its runs are made in a place apart.

    Args:
        system: A built-in system or your own, package.module:name; any configuration key is an option, too.
        preset: A ready configuration of the system.
        config: A YAML file that lies over the system's defaults.
        stage: Which of the configured stages to train.
        kill_at: Steps after which the training is killed (3,7).
        kills: Kill it after this many random steps instead (1 by default).
        kill_seed: Another seed chooses other random steps.
        workers_after: Go on with this many loader workers.
        output_dir: Keep the trainings in this new folder; otherwise they are kept only when they differ.
        json: Print one JSON document and nothing else.
    """
    from holdfast.proof.proving import prove as prove_subject

    words = [*([system] if system is not None else [])]
    for name, value in (("--preset", preset), ("--config", config), ("--stage", stage)):
        words += [name, value] if value is not None else []
    subject = _subject([*words, *key_words], script, workers_after)
    chosen = _kills(kill_at, kills, kill_seed)
    with _folder(output_dir) as folder:
        verdict = prove_subject(subject, chosen, folder, say=_nothing if json else _say)
        if verdict.is_equal and output_dir is None:
            shutil.rmtree(folder)
    if json:
        print(json_library.dumps({**verdict.as_dict(), "folder": str(folder) if folder.exists() else None}, indent=2))
    else:
        _print(verdict, folder)
    return 0 if verdict.is_equal else 1


def _subject(words: Sequence[str], script: Sequence[str], workers_after: int | None) -> Subject:
    from holdfast.proof.subject import ScriptSubject, SystemSubject

    if script and words:
        raise UserError(
            f"`prove` must be given a system or, behind `--`, a script, but got {words[0]} and {script[0]}; drop one."
        )
    if script and workers_after is not None:
        raise UserError(
            f"`--workers-after` must go with a system, but got {workers_after} and a script, which chooses its workers "
            "itself; leave it out."
        )
    for word in words:
        if word.partition("=")[0] in ("--name", "--run.name", "--exp-name", "--resume"):
            raise UserError(f"`prove` must make runs of its own, but got {word}; leave it out.")
    return ScriptSubject(script) if script else SystemSubject(words, workers_after)


def _kills(kill_at: str | None, count: int | None, seed: int) -> Kills:
    from holdfast.proof.subject import KillAnywhere, KillAt

    if kill_at is not None and count is not None:
        raise UserError("`--kill-at` says where and `--kills` how often at random, but got both; drop one.")
    if kill_at is None:
        if count is not None and count < 1:
            raise UserError(f"`--kills` must be at least 1, but got {count}; leave it out for one kill.")
        return KillAnywhere(count or 1, seed)
    try:
        return KillAt([int(word) for word in kill_at.split(",")])
    except ValueError as error:
        raise UserError(
            f"`--kill-at` must be steps with commas between them, but got {kill_at!r}; write --kill-at 3,7."
        ) from error


@contextmanager
def _folder(output_dir: str | None) -> Iterator[Path]:
    """Gives a new folder for the trainings; one that the user has not named is removed when nothing was trained."""
    folder = Path(output_dir or tempfile.mkdtemp(prefix="holdfast-prove-")).absolute()
    if output_dir is not None and folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"`--output-dir` must be a new or an empty folder, but got {output_dir}; choose another.")
    try:
        yield folder
    except (UserError, KeyboardInterrupt):
        if output_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _print(verdict: Verdict, folder: Path) -> None:
    kills = " and ".join(str(kill["after_step"]) for kill in verdict.kills)
    if verdict.is_equal:
        print(
            f"equal: killed after step {kills} of {verdict.steps} and resumed, the training ended as the uninterrupted "
            f"one, to the last bit: every step, the last and the best state, the history\nhash: {verdict.hash}"
        )
    else:
        first, *others = verdict.findings
        when = f" of step {first.step}" if first.step is not None else ""
        print(f"different: {first.part}{when}: {first.detail}\nwhat it usually means: {first.meaning}")
        if others:
            print(f"what differs, too: {', '.join(dict.fromkeys(finding.part for finding in others))}")
    if all(kill["went_on_from"] == 0 for kill in verdict.kills):
        print("note: there was no checkpoint to go on from, so each resume began anew; choose a later --kill-at")
    if folder.exists():
        print(f"the trainings and what they printed: {folder}")


def _say(line: str) -> None:
    print(line, flush=True)


def _nothing(line: str) -> None:
    pass
