"""Somebody else in the folder of checkpoints while a training saves into it."""

from __future__ import annotations

from contextlib import nullcontext, suppress

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.store import Store
from holdfast.errors import CheckpointError
from tests.crash.recording import Recording
from tests.crash.states import fast_folder
from tests.crash.stories import FOLDER, Mutation, Story, process, save_and_note

OWN = "own.pth"
"""A checkpoint that somebody writes into the folder beside those of the training."""
OWN_STEP = 0

BESIDE = Story(saves=3, names=lambda step: (f"epoch{step}" if step else None,))


def beside_another_writer(story: Story, mutation: Mutation = nullcontext) -> Recording:
    """Records a training that saves while somebody else is in the middle of writing a file of his own."""
    with fast_folder() as root, process(1), story.file_system():
        recording = Recording(root)
        with recording.running(), mutation(), recording.until_it_fails():
            store = Store(root / FOLDER, story.keep, tell=[].append)
            save_and_note(story, store, 1, recording)
            recording.note("begun", OWN_STEP)
            with durable.replacing(root / FOLDER / OWN) as descriptor:
                archive.write(descriptor, story.state(OWN_STEP))
                save_and_note(story, store, 2, recording)
            recording.note("saved", OWN_STEP)
            save_and_note(story, store, 3, recording)
            store.close()
    return recording


def beside_a_late_twin(story: Story, mutation: Mutation = nullcontext) -> Recording:
    """Records a training of which a second process is started, by mistake, from an older state."""
    with fast_folder() as root, process(1), story.file_system():
        recording = Recording(root)
        with recording.running(), mutation(), recording.until_it_fails():
            store = Store(root / FOLDER, story.keep, tell=[].append)
            for step in range(1, story.saves + 1):
                save_and_note(story, store, step, recording)
            twin = Store(root / FOLDER, story.keep, tell=[].append)
            with process(2), suppress(CheckpointError):
                story.save(twin, 1)
            twin.close()
            store.close()
    return recording
