"""The whole proof: train, train again with kills, compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.proof.sessions import Session, steps_of, train_killed, train_whole
from holdfast.proof.subject import Kills, Subject
from holdfast.proof.verdict import Verdict, compare


def prove(subject: Subject, kills: Kills, folder: Path, *, say: Callable[[str], None]) -> Verdict:
    """Trains twice below a folder, the second time with kills, and gives what the comparison came to.

    Args:
        subject: What is trained.
        kills: When it is killed.
        folder: A new folder for both runs.
        say: Is told, in one line each, what has been done.

    Raises:
        UserError: When the subject or the kills cannot be.
        TrainingError: When a training fails by itself.
    """
    whole = train_whole(subject, folder)
    steps = kills.choose(steps_of(whole))
    say(f"1/{len(steps) + 2} uninterrupted: {steps_of(whole)} steps")

    def told(number: int, session: Session) -> None:
        how = f"from step {session.began_at}" if number else "from the start"
        end = f"killed after step {session.killed_after}" if session.killed_after is not None else "to the end"
        say(f"{number + 2}/{len(steps) + 2} {how}: {end}")

    return compare(whole, train_killed(subject, folder, kills=steps, told=told))
