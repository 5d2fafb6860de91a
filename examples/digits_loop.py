"""Handwritten digits with a training loop of your own; kill it anywhere, start it again, and it ends in the same bits.

    python examples/digits_loop.py --epochs 5

The lines with `run` are all that Holdfast asks for. The same command begins the run, goes on with it, and extends it.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import holdfast


def read_data() -> tuple[TensorDataset, TensorDataset]:
    """Gives 1437 digits of 8 by 8 pixels for training, and 360 that are held out."""
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(digits)
    held_out = torch.arange(len(labels)) % 5 == 0
    return TensorDataset(images[~held_out], labels[~held_out]), TensorDataset(images[held_out], labels[held_out])


def train(args: argparse.Namespace) -> None:
    """Trains a perceptron with dropout and a schedule that steps with each batch."""
    train_set, held_out = read_data()
    run = holdfast.open_run(args.run, config=vars(args), monitor="val_acc", save_interval="5 minutes")
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=100, gamma=0.9)
    run.track(model=model, optimizer=optimizer, scheduler=scheduler)
    for _ in run.epochs(args.epochs):
        model.train()
        for images, labels in run.batches(train_set, batch_size=args.batch_size, workers=args.workers):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            run.step(loss=loss)
        model.eval()
        with torch.no_grad():
            images, labels = held_out.tensors
            accuracy = (model(images).argmax(dim=1) == labels).float().mean()
        run.record(val_acc=accuracy)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train on handwritten digits.")
    parser.add_argument("--run", default="runs/digits_loop", help="the folder of the run")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=0)
    train(parser.parse_args())
