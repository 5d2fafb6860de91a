"""A training script as people write them, without any library: handwritten digits, a dictionary for `torch.save`.

    python examples/migrate/plain_script.py --epochs 3 --output-dir old/plain

It goes on from its own checkpoint with `--resume`, but not exactly, and a kill while it saves loses the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def make_network(width: int) -> nn.Module:
    """Gives a perceptron with batch normalisation."""
    return nn.Sequential(nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))


def read_data() -> tuple[TensorDataset, TensorDataset]:
    """Gives 1437 digits of 8 by 8 pixels for training, and 360 that are held out."""
    pixels, digits = load_digits(return_X_y=True)
    images, labels = torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(digits)
    held_out = torch.arange(len(labels)) % 5 == 0
    return TensorDataset(images[~held_out], labels[~held_out]), TensorDataset(images[held_out], labels[held_out])


def accuracy(network: nn.Module, digits: TensorDataset) -> float:
    """Gives the share of digits that are read right, in percent."""
    network.eval()
    with torch.no_grad():
        images, labels = digits.tensors
        return 100 * float((network(images).argmax(dim=1) == labels).float().mean())


def train(args: argparse.Namespace) -> None:
    """Trains, and saves after each epoch."""
    torch.manual_seed(args.seed)
    train_set, held_out = read_data()
    loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    network = make_network(args.width)
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.lr, weight_decay=args.weight_decay)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    best = 0.0
    for epoch in range(args.epochs):
        network.train()
        for images, labels in loader:
            loss = F.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        score = accuracy(network, held_out)
        best = max(best, score)
        print(f"epoch {epoch}: accuracy {score:.1f}")
        args.output_dir.mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "epoch": epoch,
                "model_state_dict": network.state_dict(),
                "optimizer_state_dict": optimizer.state_dict(),
                "scheduler_state_dict": scheduler.state_dict(),
                "best_acc": best,
                "loss": loss.item(),
                "args": args,
            },
            args.output_dir / "last.pth",
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train on handwritten digits.")
    parser.add_argument("--output-dir", type=Path, default=Path("old/plain"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-2)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())
