"""The same digits with Lightning, which must be installed: `pip install lightning`.

python examples/migrate/lightning_script.py --epochs 3 --output-dir old/lightning
"""

from __future__ import annotations

import argparse
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class Digits(lightning.LightningModule):
    """A perceptron with batch normalisation, its loss, its metric and its optimizer."""

    def __init__(self, width: int, lr: float, weight_decay: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr, self.weight_decay = lr, weight_decay
        self.network = nn.Sequential(nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Gives the loss of a batch."""
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def validation_step(self, batch: Any, index: int) -> None:
        """Counts a held-out batch."""
        images, labels = batch
        right = (self.network(images).argmax(dim=1) == labels).float().mean()
        self.log("val_acc", 100 * right)

    def configure_optimizers(self) -> Any:
        """Gives AdamW with a rate that halves every two epochs."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)]


def read_data() -> tuple[TensorDataset, TensorDataset]:
    """Gives 1437 digits of 8 by 8 pixels for training, and 360 that are held out."""
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(digits)
    held_out = torch.arange(len(labels)) % 5 == 0
    return TensorDataset(images[~held_out], labels[~held_out]), TensorDataset(images[held_out], labels[held_out])


def train(args: argparse.Namespace) -> None:
    """Trains, and saves the best and the last."""
    lightning.seed_everything(args.seed, verbose=False)
    train_set, held_out = read_data()
    saving = ModelCheckpoint(args.output_dir, filename="best", monitor="val_acc", mode="max", save_last=True)
    trainer = lightning.Trainer(
        max_epochs=args.epochs,
        accelerator="cpu",
        devices=1,
        callbacks=[saving],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Digits(args.width, args.lr, args.weight_decay),
        DataLoader(train_set, batch_size=args.batch_size, shuffle=True),
        DataLoader(held_out, batch_size=len(held_out)),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train on handwritten digits with Lightning.")
    parser.add_argument("--output-dir", default="old/lightning")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())
