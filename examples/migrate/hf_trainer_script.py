"""The same digits with the Trainer of Hugging Face, which must be installed: `pip install transformers accelerate`.

    python examples/migrate/hf_trainer_script.py --epochs 3 --output-dir old/trainer

Each of its checkpoints is a folder, `old/trainer/checkpoint-69`.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments


class Digits(nn.Sequential):
    """A perceptron with batch normalisation that gives its loss, as the Trainer wants it."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))

    def forward(self, pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Gives the loss and the scores of the ten digits."""
        logits = super().forward(pixels)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class Scans(Dataset[dict[str, Tensor]]):
    """Digits by the names of the arguments of `forward`."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixels": self.images[index], "labels": self.labels[index]}


def read_data() -> tuple[Scans, Scans]:
    """Gives 1437 digits of 8 by 8 pixels for training, and 360 that are held out."""
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(digits)
    held_out = torch.arange(len(labels)) % 5 == 0
    return Scans(images[~held_out], labels[~held_out]), Scans(images[held_out], labels[held_out])


def measure(prediction: Any) -> dict[str, float]:
    """Gives the share of digits that are read right, in percent."""
    return {"acc": 100 * float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def train(args: argparse.Namespace) -> None:
    """Trains, and saves after each epoch."""
    torch.manual_seed(args.seed)
    train_set, held_out = read_data()
    trainer = Trainer(
        model=Digits(args.width),
        args=TrainingArguments(
            output_dir=args.output_dir,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch_size,
            learning_rate=args.lr,
            weight_decay=args.weight_decay,
            seed=args.seed,
            eval_strategy="epoch",
            save_strategy="epoch",
            metric_for_best_model="acc",
            greater_is_better=True,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=train_set,
        eval_dataset=held_out,
        compute_metrics=measure,
    )
    trainer.train()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train on handwritten digits with the Trainer of Hugging Face.")
    parser.add_argument("--output-dir", default="old/trainer")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())
