"""Checkpoints in the very form in which other libraries write them, made without the libraries."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import types
from contextlib import contextmanager
from enum import Enum
from pathlib import Path, PureWindowsPath

import numpy as np
import torch
from torch import nn

from holdfast.checkpoint.safetensors_file import write_safetensors

STEPS = 6


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


class Trained:
    """A network that has made a few steps, with its optimizer and its schedule."""

    def __init__(self, optimizer=torch.optim.AdamW, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.network = network()
        self.optimizer = optimizer(self.network.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 2, 0.5)
        for _ in range(STEPS):
            self.optimizer.zero_grad()
            self.network(torch.randn(8, 3)).square().mean().backward()
            self.optimizer.step()
            self.scheduler.step()
        self.weights = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}


def settings() -> argparse.Namespace:
    return argparse.Namespace(
        lr=0.1, data=Path("data") / "digits", old=PureWindowsPath("C:/data"), seed=np.int64(7), sizes=[1, 2]
    )


def write_script(path: Path, trained: Trained, **more) -> Path:
    """What the tutorials of PyTorch save, with the arguments of the script."""
    whole = {
        "epoch": 2,
        "model_state_dict": trained.weights,
        "optimizer_state_dict": trained.optimizer.state_dict(),
        "scheduler_state_dict": trained.scheduler.state_dict(),
        "loss": np.float64(0.25),
        "args": settings(),
        **more,
    }
    torch.save({name: value for name, value in whole.items() if value is not None}, path)
    return path


def lightning_content(trained: Trained, *, started=3, processed=3, is_last=True, ready=2, **more) -> dict:
    """What `Trainer.save_checkpoint` of Lightning 2.6 gives."""
    counts = {"ready": ready, "completed": ready, "started": ready, "processed": ready}
    epochs = {"ready": started, "completed": processed - 1, "started": started, "processed": processed}
    monitor = "ModelCheckpoint{'monitor': 'val_acc', 'mode': 'max'}"
    return {
        "epoch": processed - 1,
        "global_step": STEPS,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"network.{name}": tensor for name, tensor in trained.weights.items()},
        "loops": {
            "fit_loop": {
                "state_dict": {},
                "epoch_loop.state_dict": {"_batches_that_stepped": STEPS},
                "epoch_loop.batch_progress": {"total": counts, "current": counts, "is_last_batch": is_last},
                "epoch_progress": {"total": epochs, "current": epochs},
            }
        },
        "callbacks": {
            monitor: {
                "monitor": "val_acc",
                "best_model_score": torch.tensor(93.5),
                "current_score": torch.tensor(93.5),
                "best_model_path": "/elsewhere/best.ckpt",
            }
        },
        "optimizer_states": [trained.optimizer.state_dict()],
        "lr_schedulers": [trained.scheduler.state_dict()],
        "hparams_name": "kwargs",
        "hyper_parameters": {"width": 4, "lr": 0.1},
        **more,
    }


def write_lightning(path: Path, trained: Trained, **more) -> Path:
    torch.save(lightning_content(trained, **more), path)
    return path


def generators() -> dict:
    """The states of the generators as everybody keeps them."""
    return {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}


def write_weights(folder: Path, weights: dict, *, shards: bool = False) -> None:
    """Writes safetensors as Hugging Face does: sorted by name, whole or in two files with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(weights)
    parts = [names[::2], names[1::2]] if shards else [names]
    places = {}
    for number, part in enumerate(parts, start=1):
        name = f"model-{number:05}-of-{len(parts):05}.safetensors" if shards else "model.safetensors"
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        write_safetensors(descriptor, {key: weights[key] for key in part}, {"format": "pt"})
        os.close(descriptor)
        places |= dict.fromkeys(part, name)
    if shards:
        index = {"metadata": {"total_size": 1}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True))


def write_trainer_folder(folder: Path, trained: Trained, *, epoch: float = 2.0, shards: bool = False) -> Path:
    """What `transformers.Trainer` 5 saves."""
    write_weights(folder, trained.weights, shards=shards)
    torch.save(trained.optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(trained.scheduler.state_dict(), folder / "scheduler.pt")
    torch.save(generators(), folder / "rng_state.pth")
    history = [
        {"epoch": 1.0, "step": 3, "eval_acc": 77.5, "eval_loss": 1.7, "eval_runtime": 0.1},
        {"epoch": 1.5, "step": 5, "loss": 0.4, "learning_rate": 0.1},
        {"epoch": 2.0, "step": STEPS, "eval_acc": 75.0, "eval_loss": 1.5, "eval_samples_per_second": 3.0},
    ]
    state = {
        "best_global_step": 3,
        "best_metric": 77.5,
        "epoch": epoch,
        "global_step": STEPS,
        "log_history": history,
        "max_steps": 9,
        "train_batch_size": 64,
    }
    (folder / "trainer_state.json").write_text(json.dumps(state, indent=2))
    with _classes("transformers.training_args", "TrainingArguments") as (arguments,):
        kind = Enum("SchedulerType", {"LINEAR": "linear"}, type=str, module="transformers.training_args")
        sys.modules["transformers.training_args"].SchedulerType = kind
        held = arguments()
        held.learning_rate, held.output_dir, held.lr_scheduler_type = 0.1, "old", kind.LINEAR
        torch.save(held, folder / "training_args.bin")
    return folder


def write_accelerate_folder(folder: Path, trained: Trained, *, safe: bool = True) -> Path:
    """What `Accelerator.save_state` saves."""
    folder.mkdir(parents=True)
    if safe:
        write_weights(folder, trained.weights)
    else:
        torch.save(trained.network.state_dict(), folder / "pytorch_model.bin")
    torch.save(trained.optimizer.state_dict(), folder / "optimizer.bin")
    torch.save(trained.scheduler.state_dict(), folder / "scheduler.bin")
    held = generators()
    names = {"random_state": "python", "numpy_random_seed": "numpy", "torch_manual_seed": "cpu"}
    torch.save({"step": 0, **{new: held[old] for new, old in names.items()}}, folder / "random_states_0.pkl")
    torch.save({"epoch": 2}, folder / "custom_checkpoint_0.pkl")
    return folder


def write_mmengine(path: Path, trained: Trained, *, epoch: int = 2, average: dict | None = None) -> Path:
    """What `Runner.save_checkpoint` of MMEngine saves: with averages, the two kinds of weights swapped."""
    weights = trained.weights
    with _classes("mmengine.logging.history_buffer", "HistoryBuffer") as (buffer,):
        held = buffer()
        held._log_history, held._statistics = np.arange(3.0), {"mean": buffer.mean}
        content = {
            "meta": {"epoch": epoch, "iter": STEPS, "cfg": "lr = 0.1\n", "seed": 3, "mmengine_version": "0.10.7"},
            "state_dict": weights if average is None else average,
            "message_hub": {"log_scalars": {"train/loss": held}, "runtime_info": {"best_score": np.float64(0.5)}},
            "optimizer": trained.optimizer.state_dict(),
            "param_schedulers": [trained.scheduler.state_dict()],
        }
        if average is not None:
            swapped = {f"module.{name}": tensor for name, tensor in weights.items()}
            content["ema_state_dict"] = {"steps": torch.tensor(STEPS), **swapped}
        torch.save(content, path)
    return path


@contextmanager
def _classes(module_name: str, *names: str):
    """Makes classes that can be pickled by a name under which nobody will find them later."""
    made = []
    parts = module_name.split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            made.append(name)
    classes = [type(name, (), {"mean": lambda self: 0.0, "__module__": module_name}) for name in names]
    for one in classes:
        one.mean.__qualname__ = f"{one.__name__}.mean"
        one.mean.__module__ = module_name
        setattr(sys.modules[module_name], one.__name__, one)
    try:
        yield classes
    finally:
        for name in made:
            del sys.modules[name]
