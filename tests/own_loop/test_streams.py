"""A loop of one's own over data that can only be iterated is exact when the data can say where it is."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import holdfast
from holdfast.checkpoint import archive
from holdfast.errors import DataError, SampleError, UserError
from tests.own_loop.programs import ended, program, signal_after_epoch, signal_after_save, signal_in_step
from tests.own_loop.streams import (
    SAMPLES,
    Beginning,
    Buffering,
    Endless,
    Forgetting,
    Resetting,
    Shuffling,
    Sized,
    Stateless,
    Staying,
    Sticking,
)
from tests.processes import result
from tests.tiny import Noisy

EXACT = [Resetting, Sized, Staying, Sticking, Beginning, Shuffling, Buffering, Endless]
"""Two epochs of 14 samples (`Shuffling`: 14 and 16) are eight steps, the last of an epoch with two samples."""
BLOWS = [signal_in_step, signal_after_save]
QUIET = {"tensorboard": False}


def over(kind, samples=SAMPLES, **options):
    """A program that trains two epochs over a stream and saves at every step."""
    steps = {"steps_per_epoch": 4} if kind is Endless else {}
    settings = {"epochs": 2, "save_interval": "1 steps", "stream": lambda: kind(samples), **steps}
    return program(**{**settings, **options})


def whole_and_killed(here, main, *kills):
    """Gives what an uninterrupted run ends as, and one that took these blows."""
    assert ended(main) == 0
    (here / "mine").rename(here / "whole")
    for kill in kills:
        assert ended(main, prepare=kill) == -signal.SIGKILL
    assert ended(main) == 0
    return result(here / "whole"), result(here / "mine")


@pytest.mark.parametrize("kind", [Sticking, Buffering, Endless])
def test_a_chain_of_kills_ends_with_the_same_bits(here, kind):
    kills = [signal_in_step(3), signal_after_save(4), signal_in_step(7)]
    whole, killed = whole_and_killed(here, over(kind), *kills)
    assert killed == whole


@pytest.mark.long
@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("samples", [12, SAMPLES])
def test_a_kill_at_any_step_ends_with_the_same_bits(here, kind, samples):
    main = over(kind, samples)
    assert ended(main) == 0
    whole = result(here / "mine")
    steps = archive.read_counters(here / "mine" / "checkpoints" / "checkpoint_latest.pth")["step"]
    blows = [signal_after_epoch(1)] + [blow(step) for step in range(1, steps + 1) for blow in BLOWS]
    for number, blow in enumerate(blows):
        (here / "mine").rename(here / f"done{number}")
        assert ended(main, prepare=blow) == -signal.SIGKILL
        assert ended(main) == 0
        assert result(here / "mine") == whole


def test_the_comparison_sees_a_stream_that_does_not_go_back_to_where_it_was(here):
    whole, killed = whole_and_killed(here, over(Forgetting), signal_after_save(2))
    assert whole["model_state_dict"] != killed["model_state_dict"]


def test_several_batches_to_a_step_are_exact_too(here):
    whole, killed = whole_and_killed(here, over(Sticking, 16, microbatches=2), signal_after_save(3))
    assert killed == whole


def test_a_signal_stops_between_two_batches_with_a_checkpoint(here):
    main = over(Resetting, save_interval="1 hour")
    assert ended(main) == 0
    (here / "mine").rename(here / "whole")
    assert ended(main, prepare=signal_in_step(6, signal.SIGTERM)) == 143
    assert archive.read_counters(here / "mine" / "checkpoints" / "checkpoint_latest.pth")["step"] == 6
    assert ended(main) == 0
    assert result(here / "mine") == result(here / "whole")


def test_a_stream_without_a_state_is_said_to_be_not_exact_before_the_first_batch(here, capsys):
    with holdfast.open_run("mine", **QUIET) as run:
        for _ in run.epochs(1):
            batches = iter(run.batches(Stateless(), batch_size=4))
            next(batches)
            assert capsys.readouterr().out.count("not exact: the training data can only be iterated and cannot") == 1
            run.step(loss=1.0)


def test_after_a_kill_a_stream_without_a_state_is_read_from_its_beginning(here):
    assert ended(over(Stateless), prepare=signal_after_save(2)) == -signal.SIGKILL
    assert ended(over(Stateless)) == 0
    output = (here / "output.log").read_text()
    assert "what is left of this epoch is read from its beginning" in output
    assert archive.read_counters(here / "mine" / "checkpoints" / "checkpoint_latest.pth")["step"] == 2 + 4 + 4


def test_a_stream_may_get_a_state_later_but_not_lose_it(here):
    assert ended(over(Stateless), prepare=signal_after_save(2)) == -signal.SIGKILL
    assert ended(over(Resetting), prepare=signal_after_save(4)) == -signal.SIGKILL
    assert ended(over(Stateless)) == 1
    words = (
        "CheckpointMismatch: the training data must have `state_dict` and `load_state_dict`, for the checkpoint says"
    )
    assert words in (here / "output.log").read_text()
    assert ended(over(Resetting)) == 0


@pytest.mark.parametrize(
    "change,words",
    [
        ({"batch_size": 5}, "`batch_size` must stay 4 in this run, but got 5"),
        (
            {"stream": None},
            "the kind of training data must stay 'only iterable' in this run, but got 'indexed by number'",
        ),
        ({"own_loader": True, "stream": None}, "`run.batches` must give the batches"),
    ],
)
def test_what_does_not_fit_the_checkpoint_is_refused(here, change, words):
    assert ended(over(Resetting), prepare=signal_after_save(2)) == -signal.SIGKILL
    assert ended(over(**{"kind": Resetting, **change})) == 1
    assert f"CheckpointMismatch: {words}" in (here / "output.log").read_text()


def sizes(run, dataset, **options):
    """Trains two epochs and gives the sizes of the batches of each."""
    found = []
    for _ in run.epochs(2):
        found.append([])
        for inputs, _ in run.batches(dataset, batch_size=4, **options):
            found[-1].append(len(inputs))
            run.step(loss=1.0)
    return found


def test_an_epoch_is_a_pass_and_the_last_short_batch_is_given(here):
    with holdfast.open_run("mine", **QUIET) as run:
        assert sizes(run, Shuffling()) == [[4, 4, 4, 2], [4, 4, 4, 4]]
    rows = [json.loads(row) for row in (here / "mine" / "logs" / "metrics.jsonl").read_text().splitlines()]
    assert [row["samples"] for row in rows if row["kind"] == "epoch"] == [14, 30]


def test_the_length_is_that_of_the_data_where_it_has_one(here):
    with holdfast.open_run("mine", **QUIET) as run:
        assert len(run.batches(Sized(), batch_size=4)) == 4
        with pytest.raises(TypeError, match="has no len"):
            len(run.batches(Resetting(), batch_size=4))


class Columns(Resetting):
    """Uses the brackets for something else."""

    def __getitem__(self, name):
        raise KeyError(name)


class Plain:
    """Knows nothing of torch."""

    __iter__ = Stateless.__iter__
    data = Noisy(6)


@pytest.mark.parametrize("dataset", [Columns(6), Plain()])
def test_whatever_can_be_iterated_will_do(here, dataset):
    with holdfast.open_run("mine", **QUIET) as run:
        assert sizes(run, dataset) == [[4, 2], [4, 2]]


class Broken(Resetting):
    def __iter__(self):
        yield from super().__iter__()
        raise OSError("the line is cut")


class Opaque(Resetting):
    def state_dict(self):
        return {"position": object()}


@pytest.mark.parametrize(
    "dataset,options,error,words",
    [
        (Resetting(), {"workers": 2}, UserError, "`workers` must be 0 for training data that can only be iterated"),
        (Resetting(), {"shuffle": True}, UserError, "`shuffle` must be left out for training data that can only be"),
        (3, {}, DataError, "must have __len__ and __getitem__, or __iter__ and best a state_dict, but got int"),
        (DataLoader(Noisy(4)), {}, DataError, "must be a data set, but got a DataLoader"),
        (Resetting(0), {}, DataError, "must give at least one sample in each pass"),
        (iter(list(Noisy(8))), {}, DataError, "must give at least one sample in each pass"),
        (Broken(6), {}, SampleError, "must give batch 2 of epoch 1, but it raised OSError: the line is cut"),
        (Opaque(), {}, UserError, "must have a state of plain values and tensors: .*data_state.dataset.position"),
    ],
)
def test_what_cannot_be_read_is_refused(here, dataset, options, error, words):
    with holdfast.open_run("mine", **QUIET) as run, pytest.raises(error, match=words):
        sizes(run, dataset, **options)


def test_another_stream_in_a_later_epoch_is_refused(here):
    def changing(run):
        for _ in run.epochs(2):
            for _ in run.batches(Resetting(), batch_size=4):
                run.step(loss=1.0)

    with holdfast.open_run("mine", **QUIET) as run, pytest.raises(UserError, match="the same stream in every epoch"):
        changing(run)


def test_nothing_is_read_ahead(here):
    stream = Resetting()
    with holdfast.open_run("mine", **QUIET) as run:
        for _ in run.epochs(1):
            for number, _ in enumerate(run.batches(stream, batch_size=4), start=1):
                assert stream.position == min(4 * number, 14) % 14
                run.step(loss=torch.tensor(1.0))


@pytest.mark.parametrize("kind,first", [(Buffering, None), (Forgetting, ("order or augmentation", 3))])
def test_a_script_over_a_stream_is_proved(holdfast, forks, monkeypatch, kind, first):
    monkeypatch.setenv("STREAM", kind.__name__)
    script = Path(__file__).with_name("stream_script.py")
    code, out, err = holdfast("prove", "--kill-at", "3,6", "--json", "--", sys.executable, str(script))
    found = json.loads(out)["first_difference"]
    assert (code, found and (found["part"], found["step"])) == (1 if first else 0, first), err


@pytest.mark.long
@pytest.mark.parametrize("kind", [Sticking, Shuffling])
def test_a_script_over_a_stream_is_proved_with_real_processes(holdfast, monkeypatch, kind):
    monkeypatch.setenv("STREAM", kind.__name__)
    monkeypatch.setenv("PYTHONPATH", os.fspath(Path(__file__).parents[2]))
    script = Path(__file__).with_name("stream_script.py")
    code, out, err = holdfast("prove", "--kills", "2", "--", sys.executable, str(script))
    assert code == 0, out + err
