"""What Lightning and Accelerate save in cases that the examples do not show; run by itself, where they are installed.

    python tests/migrate/libraries.py FOLDER

Beside each checkpoint stands NAME.expected, what its writer had in memory at that moment, as plain state dicts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import accelerate
import lightning
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).parents[2]))
from examples.migrate.lightning_script import Digits, read_data

EPOCHS = 2


def note(path: Path, network: nn.Module, optimizer: Any, *, epoch: int, step: int) -> None:
    """Writes down what a checkpoint must hold."""
    held = {"weights": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch, "step": step}
    torch.save(held, f"{path}.expected")


class Noting(Callback):
    """Saves at chosen moments, and notes what there was."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.finished = folder, 0

    def save(self, trainer: Any, module: Any, name: str, *, epoch: int) -> None:
        """Saves now."""
        path = self.folder / f"{name}.ckpt"
        trainer.save_checkpoint(path)
        note(path, module.network, trainer.optimizers[0], epoch=epoch, step=trainer.global_step)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Saves once within the second epoch."""
        if self.finished == 1 and index == 4:
            self.save(trainer, module, "within", epoch=1)

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        """Saves after the evaluation that follows the last batch of an epoch."""
        if not trainer.sanity_checking:
            self.save(trainer, module, f"evaluated{self.finished}", epoch=self.finished + 1)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Saves at the end of each epoch."""
        self.finished += 1
        self.save(trainer, module, f"ended{self.finished}", epoch=self.finished)

    def on_train_end(self, trainer: Any, module: Any) -> None:
        """Saves after the training."""
        self.save(trainer, module, "after", epoch=EPOCHS)


def run_lightning(folder: Path) -> None:
    """Trains with Lightning, and saves at every kind of moment."""
    folder.mkdir(parents=True)
    train_set, held_out = read_data()
    loaders = DataLoader(train_set, 64, shuffle=True), DataLoader(held_out, 360)
    common = {"max_epochs": EPOCHS, "accelerator": "cpu", "devices": 1, "logger": False}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(**common, **quiet, callbacks=[Noting(folder)], enable_checkpointing=False)
    trainer.fit(Digits(16, 1e-2, 1e-2), *loaders)
    averaging = EMAWeightAveraging(decay=0.9)
    saving = ModelCheckpoint(folder, filename="averaged")
    trainer = lightning.Trainer(**common, **quiet, callbacks=[averaging, saving])
    module = Digits(16, 1e-2, 1e-2)
    trainer.fit(module, *loaders)


def run_accelerate(folder: Path) -> None:
    """Trains with Accelerate, and saves in both of its formats."""
    torch.manual_seed(0)
    accelerator = accelerate.Accelerator(cpu=True)
    network = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.5)
    loader = DataLoader(read_data()[0], 64, shuffle=True)
    network, optimizer, scheduler, loader = accelerator.prepare(network, optimizer, scheduler, loader)
    steps = 0
    for images, labels in loader:
        accelerator.backward(F.cross_entropy(network(images), labels))
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        steps += 1
    for name, is_safe in {"safe": True, "unsafe": False}.items():
        accelerator.save_state(str(folder / name), safe_serialization=is_safe)
        note(folder / name, network, optimizer.optimizer, epoch=1, step=steps)
    accelerator.save_model(network, str(folder / "model"), max_shard_size="3KB")


if __name__ == "__main__":
    run_lightning(Path(sys.argv[1]) / "moments")
    run_accelerate(Path(sys.argv[1]) / "accelerate")
