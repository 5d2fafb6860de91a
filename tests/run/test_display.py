import io

import pytest
from rich.console import Console

from holdfast.clock import Clock
from holdfast.run.display import Display
from holdfast.run.observer import EpochReport, StepReport
from holdfast.run.train_log import TrainLog
from holdfast.run.wording import duration


class Seconds:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def open_display(seconds, *, terminal, file=None, **changes):
    console = Console(file=file or io.StringIO(), force_terminal=terminal, width=120)
    values = {"total_epochs": 2, "total_steps": 100, "steps_per_epoch": 50, "best_name": "val/f1", "start": Clock()}
    return Display(**{**values, **changes}, console=console, now=seconds), console.file


def step(number):
    clock = Clock(epoch=(number - 1) // 50, step=number, samples=8 * number)
    return StepReport(clock=clock, samples=8, loss=0.25, rate=0.01)


EPOCH = EpochReport(
    clock=Clock(epoch=1, step=50, samples=400),
    rate=0.01,
    train={"Loss": 0.5},
    val={"Loss": 0.75, "F1": 0.9},
    is_best=True,
    best=0.9,
)
EPOCH_LINE = "epoch 1/2, step 50: train Loss 0.5, val Loss 0.75, F1 0.9, LR 0.01; best val/f1 0.9 (new)"


def test_without_a_terminal_there_is_one_line_for_an_epoch_and_one_after_30_seconds():
    seconds = Seconds()
    display, output = open_display(seconds, terminal=False)
    with display:
        for number in range(1, 51):
            seconds.now += 1
            display.after_step(step(number))
        display.after_epoch(EPOCH, {})
        for number in range(51, 82):
            seconds.now += 1
            display.after_step(step(number))
    assert output.getvalue().splitlines() == [
        "epoch 1/2, step 30/100, loss 0.25, 1:10 left, 8 samples/s",
        EPOCH_LINE,
        "epoch 2/2, step 80/100, loss 0.25, best 0.9, 0:20 left, 8 samples/s",
    ]


def test_on_a_terminal_a_bar_is_drawn_at_most_ten_times_a_second():
    seconds = Seconds()
    display, output = open_display(seconds, terminal=True)
    with display:
        drawn = []
        for number in range(1, 41):
            seconds.now += 0.025
            before = len(output.getvalue())
            display.after_step(step(number))
            drawn.append(len(output.getvalue()) > before)
    assert 8 <= sum(drawn) <= 10
    assert "epoch 1/2" in output.getvalue()
    assert "320 samples/s" in output.getvalue()
    assert "━" in output.getvalue()


def test_what_is_said_stands_above_the_bar_as_it_is():
    display, output = open_display(Seconds(), terminal=True)
    with display:
        display.say("saved [bold]/runs/mine[/bold]")
        display.after_epoch(EPOCH, {})
    assert "saved [bold]/runs/mine[/bold]" in output.getvalue()
    assert EPOCH_LINE in output.getvalue()


def test_a_run_that_goes_on_counts_its_speed_from_where_it_started():
    seconds = Seconds()
    display, output = open_display(seconds, terminal=False, start=Clock(epoch=1, step=60, samples=480))
    seconds.now += 30
    display.after_step(step(90))
    assert output.getvalue() == "epoch 2/2, step 90/100, loss 0.25, 0:10 left, 8 samples/s\n"


def test_a_run_of_unknown_length_shows_no_time_left():
    seconds = Seconds()
    display, output = open_display(seconds, terminal=False, total_epochs=None, total_steps=None, steps_per_epoch=None)
    seconds.now += 30
    display.after_step(step(30))
    assert output.getvalue() == "epoch 1, step 30, loss 0.25, 8 samples/s\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_an_output_that_has_gone_away_does_not_stop_the_training(terminal):
    class Gone(io.StringIO):
        def write(self, text):
            if seconds.now > 100:
                raise OSError("Input/output error")
            return len(text)

    seconds = Seconds()
    display, _ = open_display(seconds, terminal=terminal, file=Gone())
    with display:
        seconds.now += 60
        display.after_step(step(1))
        display.after_epoch(EPOCH, {})
        display.say("still here")


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0:00"), (42.4, "0:42"), (3723, "1:02:03"), (90000, "1 day 1:00:00"), (180000, "2 days 2:00:00")],
)
def test_durations_read_like_a_watch(seconds, text):
    assert duration(seconds) == text


def test_the_log_of_a_run_grows_by_time_stamped_lines(tmp_path):
    for text in ("started", "stopped by SIGTERM\nto go on: holdfast resume mine"):
        log = TrainLog(tmp_path / "logs", total_epochs=2, best_name="val/f1")
        log.say(text)
    log.after_step(step(1))
    log.after_epoch(EPOCH, {})
    lines = (tmp_path / "logs" / "train.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "started",
        "stopped by SIGTERM",
        "to go on: holdfast resume mine",
        EPOCH_LINE,
    ]
    assert all(line[4] == "-" and line[13] == ":" for line in lines)
