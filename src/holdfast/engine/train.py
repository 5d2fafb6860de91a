"""The loop: one visible function, no events, no hooks."""

from __future__ import annotations

from holdfast.data.batches import StepBatch
from holdfast.engine.evaluate import Scores, evaluate
from holdfast.engine.interruption import Interruption
from holdfast.engine.saving import Saver
from holdfast.engine.trace import traced
from holdfast.engine.training import Training
from holdfast.engine.update import Tally, update
from holdfast.errors import Interrupted, TrainingError
from holdfast.run.observer import EpochReport, StepReport


def train(training: Training, saver: Saver, interruption: Interruption) -> None:
    """Trains from the clock to the end of the plan.

        open the stream of batches at the clock's step
        until every step is done and the last state has been evaluated:
            stop, with a checkpoint, if a signal or the time limit asks for it
            if the epoch has a next step:  take it: update, clock, observers
            else:                          close the epoch: evaluate, best, clock, observers
            save what is due

    Whether an epoch is to be closed follows from the clock, so a run that was stopped between its last step and its
    evaluation goes on with the evaluation.

    Raises:
        Interrupted: After a signal or at the time limit; the checkpoint is saved.
        TrainingError: When the state at such a stop cannot be saved.
        NonFiniteLoss: When the loss or its gradient is infinite or not a number; the parameters are untouched.
    """
    take = traced(take_step, training)
    with training.batches.from_step(training.clock.step) as stream:
        while not training.is_over:
            before = training.clock
            try:
                interruption.check()
                if training.plan.has_next_step(training.clock):
                    take(training, next(stream))
                else:
                    close_epoch(training, interruption)
            except Interrupted as stop:
                if saver.save(training):
                    raise
                raise TrainingError(f"{stop} at step {training.clock.step}, which could not be saved") from stop
            saver.save_when_due(training, before)
            interruption.reserve = 2 * saver.longest


def take_step(training: Training, batch: StepBatch) -> StepReport:
    """Makes one optimizer step, counts it, tells the observers and gives its report."""
    report = update(training.learner, training.clock, batch)
    record = training.record
    record.tally.add(report.loss * report.weight, report.weight, report.parts)
    record.rate, record.metric = report.rate, None
    training.clock = report.clock
    for observer in training.observers:
        observer.after_step(report)
    return report


def close_epoch(training: Training, interruption: Interruption) -> None:
    """Evaluates when that is due, decides on the best, counts the epoch and tells the observers.

    The end of a run that is counted in steps is closed in the same way, but counts as an epoch only when it is one.
    """
    record = training.record
    is_whole = training.plan.epoch_is_over(training.clock)
    clock = training.clock.after_epoch() if is_whole else training.clock
    scores = _scores(training, interruption, is_due=training.plan.evaluation_is_due(clock))
    loss, parts = record.tally.means()
    means = {"Loss": loss, **parts}
    named = {f"train/{name}": value for name, value in means.items()}
    named |= {f"val/{name}": value for name, value in scores.values.items()}
    record.metric = training.goal.value_of(named)
    if record.metric is None and training.goal.monitor.lower().startswith("train/"):
        raise TrainingError(
            f"`training.monitor` must be one of {', '.join(name.lower() for name in named)}, "
            f"but got {training.goal.monitor!r}; choose one of these and resume"
        )
    is_best = record.metric is not None and training.goal.is_better(record.metric, record.best_metric)
    if record.metric is not None:
        record.since_best = 0 if is_best else record.since_best + 1
    if is_best:
        record.best_metric, record.best_step = record.metric, clock.step
    if scores.values or training.evaluation is None:
        record.metrics = named
    record.closed_at = clock.step
    if is_whole:
        record.tally = Tally()
    training.clock = clock
    report = EpochReport(
        clock=clock,
        rate=record.rate,
        train=means,
        val=scores.values,
        is_best=is_best,
        best=record.best_metric,
    )
    for observer in training.observers:
        observer.after_epoch(report, scores.pictures)


def _scores(training: Training, interruption: Interruption, *, is_due: bool) -> Scores:
    if training.evaluation is None or not is_due:
        return Scores({}, {})
    average = training.learner.average
    model = average.model if average else training.learner.model
    return evaluate(training.evaluation, model, progress=lambda done: interruption.check())
