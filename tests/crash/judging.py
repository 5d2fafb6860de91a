"""Looks at one crash state as a user would: the files as they lie, then recovery, then a further save."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from holdfast.checkpoint.store import Store
from tests.crash.company import OWN, OWN_STEP
from tests.crash.states import Crash, empty, fast_folder, put
from tests.crash.stories import BEST, FOLDER, LATEST, WEIGHTS, Story, process, same


def bad_states(
    story: Story,
    crashes: Iterable[Crash],
    *,
    rotten: bytes | None = None,
    process_number: int = 3,
    same_times: bool = False,
) -> Iterator[str]:
    """Gives, for each state in which a promise is broken, its moment and the promise.

    Args:
        story: What the run does, and so what each file must hold.
        crashes: The states to be judged.
        rotten: The content of a file that was damaged before; it must be found, named and never be lost.
        process_number: The number of the process that finds them.
        same_times: Whether all files were written in the same tick of the file system's clock.
    """
    with fast_folder() as root, process(process_number), story.file_system():
        for crash in crashes:
            put(crash.tree, root, same_times=same_times)
            complaint = _as_it_lies(story, crash, rotten) or _after_recovery(story, crash, root / FOLDER, rotten)
            empty(root)
            if complaint:
                yield f"after operation {crash.moment}: {complaint}"


def _as_it_lies(story: Story, crash: Crash, rotten: bytes | None) -> str | None:
    """Says what a reader that repairs nothing would find broken."""
    content = {
        os.path.basename(path): file.content
        for path, file in crash.tree.files.items()
        if not os.path.basename(path).startswith(".")
    }
    if rotten is not None:
        if rotten not in content.values():
            return "the damaged file has vanished"
        content = {name: data for name, data in content.items() if data != rotten}
    own = content.pop(OWN, None)
    if (own is None and OWN_STEP in crash.facts.saved) or own not in (None, story.file(OWN_STEP)):
        return f"{OWN}, which somebody else has written beside, is lost or torn"
    known = {story.file(step): step for step in crash.facts.begun}
    weights = {story.weights(step): step for step in crash.facts.begun}
    steps = {name: (weights if name == WEIGHTS else known).get(data, 0) for name, data in content.items()}
    if broken := [name for name, step in steps.items() if step == 0]:
        return f"{broken[0]} is not a whole checkpoint"
    newest = max(crash.facts.acknowledged, default=0) if rotten is None else 0
    best = max(crash.facts.acknowledged & story.best, default=0)
    for name, least in ((LATEST, newest), (BEST, best), (WEIGHTS, best)):
        if steps.get(name, 0) < least:
            return f"{name} is of step {steps.get(name)} although step {least} was acknowledged"
    numbered = {name: step for name, step in steps.items() if name not in (LATEST, BEST, WEIGHTS)}
    if wrong := [name for name, step in numbered.items() if name != f"checkpoint_epoch{step}.pth"]:
        return f"{wrong[0]} is of another step"
    said = {step for step in crash.facts.saved if story.numbered(step)}
    if len(numbered) < min(2, len(said)):
        return "fewer than two numbered checkpoints stand"
    if missing := [step for step in said & story.keep.milestones if step not in numbered.values()]:
        return f"the milestone {missing[0]} is gone"
    return None


def _after_recovery(story: Story, crash: Crash, folder: Path, rotten: bytes | None) -> str | None:
    """Says what is broken after loading the newest, or after the save that follows."""
    told: list[str] = []
    store = Store(folder, story.keep, tell=told.append)
    try:
        newest = store.load_newest()
        step = newest[1]["step"] if newest else 0
        if step < max(crash.facts.acknowledged, default=0):
            return f"step {step} is loaded although step {max(crash.facts.acknowledged)} was acknowledged"
        if newest:
            complaint = _wrong_recovery(story, crash, folder, newest)
            if complaint:
                return complaint
        if told and rotten is None:
            return f"a power cut alone damages nothing, but: {told[0]}"
        story.save(store, step + 1)
        return _wrong_folder(story, folder, step + 1, "after a further save") or _kept_too_long(story, folder)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is the finding
        return f"recovery raises {error!r}"
    finally:
        store.close()


def _wrong_recovery(story: Story, crash: Crash, folder: Path, newest: tuple[Path, dict[str, object]]) -> str | None:
    path, state = newest
    step = state["step"]
    if step not in crash.facts.begun or not isinstance(step, int):
        return f"step {step} is loaded, which was never saved"
    if not same(state, story.state(step)) or path.read_bytes() != story.file(step):
        return f"another state than that of step {step} is loaded"
    return _wrong_folder(story, folder, step, "after recovery")


def _wrong_folder(story: Story, folder: Path, step: int, when: str) -> str | None:
    """Says which file is not what it must be when `step` is the newest."""
    names = set(os.listdir(folder)) - {".lock"}
    if left := sorted(name for name in names if name.startswith(".")):
        return f"{when}, the temporary file {left[0]} stays"
    expected = {LATEST: story.file(step)}
    if story.names(step)[0] or (when == "after a further save" and story.numbered(step)):
        expected[f"checkpoint_epoch{step}.pth"] = story.file(step)
    if best := story.best_until(step):
        expected |= {BEST: story.file(best), WEIGHTS: story.weights(best)}
    for name, content in expected.items():
        if name not in names or (folder / name).read_bytes() != content:
            return f"{when}, {name} is not what it must be when step {step} is the newest"
    return None


def _kept_too_long(story: Story, folder: Path) -> str | None:
    found = {path.stem: path for path in folder.glob("checkpoint_epoch*.pth")}
    numbers = {name: int(name.removeprefix("checkpoint_epoch")) for name in found}
    kept = set(sorted(numbers.values())[-max(story.keep.last, 2) :]) | story.keep.milestones
    extra = sorted(name for name, number in numbers.items() if number not in kept)
    return f"{extra[0]} is kept without a reason after a further save" if extra else None
