"""Two trainings compared: whether they are equal to the last bit, or where they part first and what that means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdfast.checkpoint import archive
from holdfast.checkpoint.compare import digest, state_differences
from holdfast.checkpoint.store import BEST, BEST_WEIGHTS, LATEST
from holdfast.engine.trace import Line
from holdfast.proof.sessions import Session, Trained, steps_of
from holdfast.run.histories import curves, history_differences
from holdfast.run.journal import ROWS

_MEANINGS = {
    "order": "the samples of a step follow from something else than seed, epoch and step: the time, the process, a set",
    "augmentation": "the data set draws from a generator of its own; use the global ones of random, numpy and torch, "
    "which are set before each sample",
    "samples": "the data set gives other samples under the same numbers, or draws from a generator of its own; "
    "sort what it lists, seed what it splits, and draw from the global generators",
    "order or augmentation": "the loader draws from generators that are not part of the run; "
    "take the batches from run.batches, or track the loader's state",
    "noise": "the model or the loss draws from a generator of its own, or remembers something that is in no state dict "
    "(a counter, a buffer that is not persistent); use the global generators and buffers",
    "rate": "the learning rate does not follow from the step; is the scheduler tracked?",
    "weights": "what changes them is not kept (an optimizer that run.track does not know), or the gradients are not "
    "the same on the same numbers (then use torch.use_deterministic_algorithms and the same number of threads)",
    "history": "a metric depends on something else than the state and the data: a clock, a generator of its own",
    "best": "what is remembered as the best does not follow from the history",
}
_NOT_RESTORED = "it was not saved or not put back; track it, and let its state_dict hold all that it remembers"
_NOT_KEPT = "it changes by something else than the steps"

_OF_THE_SESSION = ("timestamp", "metadata", "config")
"""Parts of a checkpoint that say how it came to be."""


@dataclass(frozen=True)
class Finding:
    """One part of a training that differs."""

    part: str
    """order, augmentation, samples, noise, rate, weights, history, best, or the name of a part of the state."""
    step: int | None
    """The first step at which it differs; None where only the end is known."""
    detail: str
    meaning: str


@dataclass(frozen=True)
class Verdict:
    """What the comparison came to."""

    steps: int
    kills: Sequence[Mapping[str, int]]
    """For each kill the step it came after, and the step from which the training then went on."""
    findings: Sequence[Finding]
    """Everything that differs, the earliest first."""
    hash: str
    """The hash of the last state, the best and the history of the training that was killed."""

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Gives plain values for JSON."""
        first = asdict(self.findings[0]) if self.findings else None
        return {
            "equal": self.is_equal,
            "hash": self.hash,
            "steps": self.steps,
            "kills": [dict(kill) for kill in self.kills],
            "first_difference": first,
            "differences": [asdict(finding) for finding in self.findings],
        }


def compare(whole: Trained, killed: Trained) -> Verdict:
    """Compares two trainings step by step, then their last states, their bests and their histories."""
    ours, theirs = _results(whole), _results(killed)
    findings = [*_in_steps(whole.sessions[0].lines, killed.sessions), *_in_history(whole, killed)]
    findings += [finding for finding in _in_results(ours, theirs) if finding.part not in [one.part for one in findings]]
    last = steps_of(whole)
    findings.sort(key=lambda finding: last if finding.step is None else finding.step)
    # Times of writing and sizes of files are no result.
    history = [(_logs(killed) / ROWS).read_bytes(), curves(_logs(killed))]
    kills = [
        {"after_step": before.killed_after or 0, "went_on_from": after.began_at}
        for before, after in zip(killed.sessions, killed.sessions[1:], strict=False)
    ]
    return Verdict(last, kills, findings, digest([theirs, history]))


def _in_steps(whole: Sequence[Line], sessions: Sequence[Session]) -> Iterator[Finding]:
    """Gives the first difference of any step; what follows from it is not looked at."""
    expected = {line["step"]: line for line in whole}
    for number, session in enumerate(sessions):
        where = _where(sessions, number)
        begin: Line | None = None
        for line in session.lines:
            step = line["step"]
            if step not in expected:
                yield Finding("length", step, f"the uninterrupted training has no such step, {where}", _NOT_KEPT)
                return
            other = _unlike(line, expected[step])
            if "begins" in line:
                begin = line
            elif other:
                yield _not_restored(begin, expected, other, where) or _named(other[0], line, expected[step], where)
                return
            else:
                begin = None


def _unlike(line: Line, expected: Line) -> list[str]:
    """Gives what differs in a step, in the order in which it comes to be."""
    keys = [key for key in line if key not in ("begins", "parts") and line[key] != expected.get(key)]
    parts = expected.get("parts", {})
    return keys + [name for name, part in line["parts"].items() if part != parts.get(name)]


def _not_restored(begin: Line | None, expected: Mapping[int, Line], other: Sequence[str], where: str) -> Finding | None:
    """Gives the finding for a part that differs where a session begins and, with its effects, after its first step."""
    if begin is None or other[0] in ("order", "batch"):
        return None
    part = next((part for part in _unlike(begin, expected[begin["step"]]) if part in other), None)
    if part is None:
        return None
    return Finding(part, begin["step"], f"{part} differs where the training goes on, {where}", _NOT_RESTORED)


def _where(sessions: Sequence[Session], number: int) -> str:
    if number == 0:
        return "before the first kill, so two trainings differ even when nobody disturbs them"
    return f"after the kill of step {sessions[number - 1].killed_after} and the resume from {sessions[number].began_at}"


def _named(key: str, line: Line, expected: Line, where: str) -> Finding:
    """Gives the finding for what differs first in a step: all that led to it is the same."""
    if key == "batch":
        return _batch(line, expected, where)
    if key == "loss":
        values = [float.fromhex(one["loss"]) for one in (expected, line)]
        same = "with the same batch and weights"
        detail = f"the loss is {values[1]!r} instead of {values[0]!r} {same}, {where}"
        return Finding("noise", line["step"], detail, _MEANINGS["noise"])
    after = "" if key == "order" else " after the same loss"
    return Finding(key, line["step"], f"{key} differs{after}, {where}", _MEANINGS.get(key, _NOT_KEPT))


def _batch(line: Line, expected: Line, where: str) -> Finding:
    ours, theirs = expected["batch"], line["batch"]
    other = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    is_all = len(other) == len(ours) > 1
    kind = "order or augmentation" if "order" not in line else "samples" if is_all else "augmentation"
    parts = "every part" if is_all else "part " + ", ".join(other)
    known = " of the same samples" if "order" in line else ""
    return Finding(kind, line["step"], f"{parts} of the batch{known} differs, {where}", _MEANINGS[kind])


def _in_history(whole: Trained, killed: Trained) -> Iterator[Finding]:
    for difference in history_differences(_logs(whole), _logs(killed)):
        detail = f"{difference.place}: {difference.what}"
        yield Finding("history", difference.step, detail, _MEANINGS["history"])
        return


def _in_results(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Finding]:
    """Gives the first difference of each part of the results."""
    named: set[str] = set()
    for difference in state_differences(ours, theirs):
        part = _spoken(str(difference.path[0]))
        if part not in named:
            named.add(part)
            meaning = _MEANINGS.get(part, _NOT_RESTORED)
            yield Finding(part, None, f"at the end {difference.place} differs: {difference.what}", meaning)


def _results(trained: Trained) -> dict[str, Any]:
    """Gives the parts of the last state, and the best."""
    folder = trained.folder.checkpoints(trained.folder.read_status().stage)
    state = archive.read(folder / LATEST)
    state = {name: part for name, part in state.items() if name not in _OF_THE_SESSION}
    state["history"] = {key: part for key, part in (state.get("history") or {}).items() if key != "journal"}
    if (folder / BEST).exists():
        best = archive.read(folder / BEST)
        state["best"] = {name: best.get(name) for name in ("step", "epoch", "metric", "model_state_dict")}
        state["best"]["weights"] = archive.read(folder / BEST_WEIGHTS)
    return state


def _spoken(part: str) -> str:
    """Gives the name that a trace has for a part of a checkpoint."""
    # A state's own history is the record of the epoch in progress.
    names = {"model": "weights", "ema": "averaged weights", "history": "record"}
    names |= {"best_metric": "best", "best_step": "best"}
    word = part.removesuffix("_state_dict")
    return names.get(word, word)


def _logs(trained: Trained) -> Path:
    return trained.folder.logs(trained.folder.read_status().stage)
