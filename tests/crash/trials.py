"""The crash states in which the folder of checkpoints is tried, each set under a name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from random import Random

from holdfast.checkpoint.retention import Keep
from tests.crash import company
from tests.crash.company import BESIDE
from tests.crash.disk import Disk
from tests.crash.judging import bad_states
from tests.crash.recording import Recording
from tests.crash.states import Crash, Facts, kills, power_cuts
from tests.crash.stories import STORIES, Mutation, Story, first_run, flip, go_on, prune, rotten_disk, second_run

ROT = {
    "a tensor": flip(0.3),
    "the skeleton": flip(0.01),
    "the end": flip(1.0),
    "half": lambda content: content[: len(content) // 2],
}
_NOTHING_SAID = Facts()
_ROTTING = Story(saves=3, best=frozenset({1}), keep=Keep(last=3))


@dataclass(frozen=True)
class Case:
    """Crash states, and what must be known to judge them."""

    story: Story
    crashes: list[Crash]
    rotten: bytes | None = None
    process_number: int = 3
    """That of the process which finds them."""
    failures: tuple[str, ...] = ()
    """What has ended the processes that left these states, where something has."""

    def bad(self, *, same_times: bool = False) -> Iterator[str]:
        """Gives those failures, then the bad states among them (see `bad_states`)."""
        yield from self.failures
        yield from bad_states(
            self.story,
            self.crashes,
            rotten=self.rotten,
            process_number=self.process_number,
            same_times=same_times,
        )

    def found_by(self, process_number: int) -> Case:
        """Gives the same states, found by a process of that number."""
        return replace(self, process_number=process_number)

    def sample(self, count: int) -> Case:
        """Gives some of the states, the same each time."""
        chosen = Random(0).sample(self.crashes, min(count, len(self.crashes)))
        return replace(self, crashes=chosen)


def _case(
    story: Story, recording: Recording, facts: Facts = _NOTHING_SAID, *, extra: int = 0, rotten: bytes | None = None
) -> Case:
    failures = (recording.failure,) if recording.failure else ()
    return Case(story, list(power_cuts(recording, facts, extra=extra)), rotten, failures=failures)


def one_crash(story: Story, mutation: Mutation = nullcontext, *, extra: int = 0) -> Case:
    """Gives all power cuts during the first run of a story."""
    return _case(story, first_run(story, mutation), extra=extra)


def after_power_cuts(story: Story, *, every: int = 1, extra: int = 0) -> Iterator[Case]:
    """Gives, for power cuts in the first run, all power cuts in the recovery and the save that follow."""
    seen: set[int] = set()
    for crash in power_cuts(first_run(story)):
        # What a temporary file holds makes no difference to the second run.
        files = {path: "" if ".tmp-" in path else file.content for path, file in crash.tree.files.items()}
        key = hash((tuple(sorted(files)), *map(files.get, sorted(files)), crash.tree.folders, crash.facts))
        if key in seen:
            continue
        seen.add(key)
        if len(seen) % every == 0:
            yield _case(story, second_run(story, Disk.holding(crash.tree)), crash.facts, extra=extra)


def after_kills(
    story: Story, *, number: int = 2, every: int = 1, extra: int = 0, mutation: Mutation = nullcontext
) -> Iterator[Case]:
    """Gives, for kills of the first run, all power cuts in the recovery and the save that follow.

    Args:
        story: What the run does.
        number: The process number of the second process; that of the first was 1.
        every: 1 for a kill at each operation, 2 for one at each second ...
        extra: As for `power_cuts`.
        mutation: Changes the second process.
    """
    for disk, facts in islice(kills(first_run(story)), every - 1, None, every):
        yield _case(story, second_run(story, disk, number=number, mutation=mutation), facts, extra=extra)


def with_rot(step: int, kind: str, *, loading: bool = True, mutation: Mutation = nullcontext) -> Case:
    """Gives all power cuts while a process finds that the file of a step has rotted, and goes on or only prunes."""
    disk, facts = rotten_disk(_ROTTING, step, ROT[kind])
    story = _ROTTING if loading else replace(_ROTTING, keep=Keep(last=2))
    second = second_run(story, disk, go_on if loading else prune, mutation=mutation)
    return _case(story, second, facts, rotten=ROT[kind](_ROTTING.file(step)))


def _rot(mutation: Mutation) -> Case:
    return with_rot(3, "a tensor", mutation=mutation)


def _rot_and_prune(mutation: Mutation) -> Case:
    return with_rot(3, "a tensor", loading=False, mutation=mutation)


def _kill(mutation: Mutation) -> Case:
    cases = list(after_kills(STORIES["first save"], mutation=mutation))
    crashes = [crash for case in cases for crash in case.crashes]
    return replace(cases[0], crashes=crashes, failures=tuple(failure for case in cases for failure in case.failures))


def beside_another_writer(mutation: Mutation = nullcontext) -> Case:
    """Gives all power cuts while a training saves and somebody else writes a file of his own into its folder."""
    return _case(BESIDE, company.beside_another_writer(BESIDE, mutation))


def beside_a_late_twin(mutation: Mutation = nullcontext) -> Case:
    """Gives all power cuts while a second process would save an older state into the folder of the first."""
    return _case(BESIDE, company.beside_a_late_twin(BESIDE, mutation))


TRIALS: dict[str, Callable[[Mutation], Case]] = {
    **{name: partial(one_crash, story) for name, story in STORIES.items()},
    "rot in the newest": _rot,
    "rot, and a prune without loading": _rot_and_prune,
    "a kill, then a power cut": _kill,
    "another writer": beside_another_writer,
    "a late twin": beside_a_late_twin,
}
"""Sets of states in which a changed protocol is tried."""
