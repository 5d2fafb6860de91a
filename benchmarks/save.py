"""How long a durable save holds a training loop that waits for it, beside a plain write and `torch.save`.

python benchmarks/save.py [--quick] [--rounds N] [--folder DIR]
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from _side_by_side import extra_memory, forget_freed_memory, interleaved, machine, options, ratio, table, training_state
from holdfast.checkpoint import archive, snapshot
from holdfast.checkpoint.memory import as_buffer

CHUNK = 1024 * 1024


def durable(path: Path, write: Callable[[int], object]) -> None:
    """Writes a new file and waits until it is on the disk."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        write(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def raw_write(descriptor: int, storages: list[memoryview]) -> None:
    for storage in storages:
        for start in range(0, len(storage), CHUNK):
            os.write(descriptor, storage[start : start + CHUNK])


def torch_save(descriptor: int, state: dict[str, Any]) -> None:
    with os.fdopen(os.dup(descriptor), "wb") as file:
        torch.save(state, file)


def torch_save_by_name(path: Path, state: dict[str, Any]) -> None:
    torch.save(state, path)
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


def main() -> None:
    asked = options("Durable saving of a training state, side by side.")
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="holdfast-save-", dir=asked.folder))
    path = folder / "state.pth"
    state = training_state(quick=asked.quick)
    tensors = snapshot.take(state).storages
    copies = [tensor.clone() for tensor in tensors]
    storages = [as_buffer(tensor) for tensor in tensors]
    size = sum(map(len, storages))

    def remove() -> None:
        path.unlink(missing_ok=True)
        forget_freed_memory()

    contestants = {
        "memcpy": lambda: [copy.copy_(tensor) for copy, tensor in zip(copies, tensors, strict=True)],
        "raw write + fsync": lambda: durable(path, lambda descriptor: raw_write(descriptor, storages)),
        "torch.save + fsync": lambda: torch_save_by_name(path, state),
        "torch.save to an open file + fsync": lambda: durable(path, lambda descriptor: torch_save(descriptor, state)),
        "holdfast + fsync": lambda: durable(path, lambda descriptor: archive.write(descriptor, state)),
    }
    try:
        seconds = interleaved(contestants, asked.rounds, before=remove)
        remove()
        peak = extra_memory(contestants["holdfast + fsync"])
    finally:
        shutil.rmtree(folder)
    print(f"{machine()}\n{size / 1e6:.0f} MB in {len(storages)} storages, {asked.rounds} rounds, in {asked.folder}\n")
    print(table(seconds, size, ["memcpy", "raw write + fsync", "torch.save + fsync"]))
    print(
        f"\nA durable save takes {ratio(seconds, 'holdfast + fsync', 'torch.save + fsync'):.2f} of torch.save + fsync "
        f"(goal 0.45) and {ratio(seconds, 'holdfast + fsync', 'raw write + fsync'):.2f} of a raw write + fsync "
        f"(goal 1.00), with {peak:.0f} MB of extra memory (goal 64)."
    )


if __name__ == "__main__":
    main()
