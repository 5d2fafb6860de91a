"""Configuration becomes objects, here only.

The engine gets ready objects and never sees a configuration; a system gets its typed configuration and never sees a
run folder.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.utils.data import IterableDataset

from holdfast.clock import Clock, Unit, parse_every
from holdfast.config import Config
from holdfast.data import views
from holdfast.data.batches import Batches, Composer
from holdfast.data.order import Order
from holdfast.data.scheduled import Fixed
from holdfast.data.split import SplitBatches
from holdfast.data.streams import StreamBatches
from holdfast.engine import schedule as schedules
from holdfast.engine.averaging import Average
from holdfast.engine.device import choose_device
from holdfast.engine.evaluate import Evaluation
from holdfast.engine.precision import choose_precision
from holdfast.engine.system import Data, System
from holdfast.engine.training import Goal, Plan, SavePlan, Training
from holdfast.engine.update import Learner
from holdfast.errors import ConfigError, DataError
from holdfast.randomness import Keys, seed_all


def build_training(system: System, config: Any, *, stage: str) -> Training:
    """Builds everything that one stage trains with, at its start; writes nothing.

    Raises:
        UserError: When the data, the device or the monitored metric is not there.
    """
    device = choose_device(config.device)
    data = build_data(system, config)
    batches = _train_batches(data, config, stage)
    plan = _plan(config, batches.steps_per_epoch)
    learner = _learner(system, config, device, plan, stage)
    evaluation = build_evaluation(system, config, data, device, stage=stage)
    goal = _goal(system, config, evaluation)
    save_plan = _save_plan(config)
    return Training(
        seed=config.seed,
        clock=Clock(stage=stage),
        plan=plan,
        learner=learner,
        batches=batches,
        evaluation=evaluation,
        goal=goal,
        save_plan=save_plan,
    )


def build_data(system: System, config: Any) -> Data:
    """Opens a system's data, or the part of it that `training.subset_size` and `overfit` mean.

    Raises:
        UserError: When the data is not there, or smaller than the part.
    """
    data = system.data(config)
    training = config.training
    if training.subset_size is None:
        return data
    _length(data.train, "training")
    if training.overfit:
        few = views.first(data.train, training.subset_size)
        few = few if data.schedule is None else Fixed(few, data.schedule(0))
        return replace(data, train=few, val=few, schedule=None)
    return replace(data, train=views.subset(data.train, training.subset_size, training.subset_seed))


def build_model(system: System, config: Any, device: torch.device) -> nn.Module:
    """Builds a system's model with the weights that belong to the seed."""
    seed_all(Keys(config.seed, "", "model")())
    model = system.model(config)
    if unknown := [name for name, weight in model.named_parameters() if is_lazy(weight)]:
        raise ConfigError(
            f"the model of the system `{system.name}` must know its shapes, but `{unknown[0]}` is lazy and has none; "
            "run one batch through it in the function that builds it."
        )
    return model.to(device)


def build_evaluation(system: System, config: Any, data: Data, device: torch.device, *, stage: str) -> Evaluation | None:
    """Builds the evaluation on a system's held-out data; None when it has none."""
    if data.val is None:
        return None
    length = _length(data.val, "validation")
    composer = Composer(data.val, data.collate, config.seed, f"{stage} evaluation")
    batches = Batches(
        composer,
        Order(length, shuffle=None),
        batch_size=config.training.batch_size,
        workers=config.data.num_workers,
    )
    return Evaluation(
        batches=batches,
        loss=system.loss(config),
        metrics=partial(system.metrics, config) if system.metrics else None,
        pictures=partial(system.pictures, config) if system.pictures else None,
        noise=Keys(config.seed, stage, "evaluation noise"),
        device=device,
    )


def _train_batches(data: Data, config: Any, stage: str) -> Batches | StreamBatches:
    if isinstance(data.train, IterableDataset):
        return StreamBatches(
            data.train,
            data.collate,
            length=_stream_length(data.train, config),
            batch_size=config.training.batch_size,
            accumulation=config.training.accumulation,
            keys=Keys(config.seed, stage, "stream"),
        )
    length = _length(data.train, "training")
    batches = Batches if data.split is None else partial(SplitBatches, data.split)
    return batches(
        Composer(
            data.train,
            data.collate,
            config.seed,
            stage,
            augment=not config.training.overfit,
            schedule=data.schedule,
        ),
        Order(length, shuffle=None if config.training.overfit else Keys(config.seed, stage, "order")),
        batch_size=config.training.batch_size,
        accumulation=config.training.accumulation,
        workers=config.data.num_workers,
    )


def _stream_length(dataset: Any, config: Any) -> int:
    if config.data.epoch_length is not None:
        return config.data.epoch_length
    if hasattr(dataset, "__len__"):
        return len(dataset)
    raise DataError(
        "`data.epoch_length` must say how many samples an epoch has, for the training data is a stream without a "
        "length, but got nothing; add --epoch-length N."
    )


def _length(dataset: Any, which: str) -> int:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        kind = type(dataset).__name__
        raise DataError(
            f"the {which} data must have a length and be indexed by number, but got {kind}; "
            "give it __len__ and __getitem__."
        )
    if len(dataset) == 0:
        raise DataError(f"the {which} data must hold at least one sample, but got none; look at `data.path`.")
    return len(dataset)


def _plan(config: Config, steps_per_epoch: int) -> Plan:
    training = config.training
    epochs = None if training.steps is not None else training.epochs
    return Plan(steps_per_epoch, epochs, training.steps, training.eval_interval, training.early_stop)


def _learner(system: System, config: Any, device: torch.device, plan: Plan, stage: str) -> Learner:
    model = build_model(system, config, device)
    return Learner(
        model=model,
        loss=system.loss(config),
        optimizer=_optimizer(model, config),
        schedule=_schedule(config, plan),
        noise=Keys(config.seed, stage, "noise"),
        precision=choose_precision(config.training.amp, device),
        clip=config.training.clip,
        average=Average(model, config.training.ema) if config.training.ema is not None else None,
    )


def _optimizer(model: nn.Module, config: Config) -> Optimizer:
    training, chosen = config.training, config.training.optimizer
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    rate, decay = training.lr, training.weight_decay
    match chosen.name:
        case "sgd":
            return SGD(parameters, rate, chosen.momentum, weight_decay=decay, nesterov=chosen.nesterov)
        case "adamw":
            return AdamW(parameters, rate, chosen.betas, chosen.eps, weight_decay=decay)
        case "adam":
            return Adam(parameters, rate, chosen.betas, chosen.eps, weight_decay=decay)


def _schedule(config: Config, plan: Plan) -> schedules.Schedule:
    training, chosen = config.training, config.training.schedule
    unit = 1 if training.steps is not None else plan.steps_per_epoch
    length = plan.total_steps if training.schedule_length is None else training.schedule_length * unit
    every = plan.steps_per_epoch if getattr(chosen, "each", "step") == "epoch" else 1
    match chosen.name:
        case "constant":
            base = schedules.constant()
        case "cosine":
            base = schedules.cosine(length, final=chosen.final, every=every)
        case "linear":
            base = schedules.linear(length, final=chosen.final, every=every)
        case "step":
            base = schedules.steps([at * unit for at in chosen.at], gamma=chosen.gamma)
        case "one_cycle":
            base = schedules.one_cycle(length, peak_at=chosen.peak_at, start=chosen.start, final=chosen.final)
    return schedules.warmed_up(base, training.warmup * unit)


def _goal(system: System, config: Config, evaluation: Evaluation | None) -> Goal:
    """Checks the monitored metric against the names that there will be."""
    monitor = config.training.monitor
    names = ["train/Loss"]
    if evaluation is not None:
        names += ["val/Loss"]
        names += [f"val/{name}" for name in (evaluation.metrics().result() if evaluation.metrics else {})]
    is_part = monitor.lower().startswith("train/")  # parts of the training loss are known only once it is computed
    if not is_part and monitor.lower() not in [name.lower() for name in names]:
        raise ConfigError(
            f"`training.monitor` must be one of {', '.join(name.lower() for name in names)}, but got {monitor!r}; "
            "choose what says which state is the best."
        )
    return Goal(monitor, config.training.mode)


def _save_plan(config: Config) -> SavePlan:
    training = config.training
    unit: Unit = "steps" if training.steps is not None else "epochs"
    return SavePlan(parse_every(training.save_interval, unit), unit, frozenset(training.milestones))
