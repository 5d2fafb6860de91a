"""How long it takes to bring a checkpoint back into live tensors, beside `torch.load`, which checks nothing.

The file lies in the page cache. Freed memory is given back to the system before each contestant, as a resume begins
in a new process; the row "memory kept" shows torch.load without that.

python benchmarks/load.py [--quick] [--rounds N] [--folder DIR]
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import holdfast
from _side_by_side import (
    extra_memory,
    forget_freed_memory,
    interleaved,
    machine,
    options,
    ratio,
    state_of,
    table,
    trained,
    training_state,
)
from holdfast.checkpoint import archive
from holdfast.checkpoint.plain import KeyPath, tensors_of


def save_both(ours: Path, theirs: Path, state: dict[str, Any]) -> None:
    """Writes the same state as a Holdfast checkpoint and with plain `torch.save`."""
    descriptor = os.open(ours, os.O_RDWR | os.O_CREAT, 0o644)
    archive.write(descriptor, state)
    os.close(descriptor)
    torch.save(state, theirs)


def copy_in(live: Mapping[KeyPath, Tensor], state: dict[str, Any]) -> None:
    for path, tensor in tensors_of(state).items():
        live[path].copy_(tensor)


def read_raw(path: Path, memory: memoryview) -> None:
    """Reads a file into memory that is there already, unchecked: what the disk can do."""
    descriptor = os.open(path, os.O_RDONLY)
    place = 0
    while count := os.preadv(descriptor, [memory[place : place + (8 << 20)]], place):
        place += count
    os.close(descriptor)


def forget(*paths: Path) -> None:
    """Takes files out of memory, so that the next read comes from the disk."""
    forget_freed_memory()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def main() -> None:
    asked = options("Loading of a training state into live tensors, side by side.")
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp(prefix="holdfast-load-", dir=asked.folder))
    ours, theirs = folder / "ours.pth", folder / "theirs.pth"
    state = training_state(quick=asked.quick)
    save_both(ours, theirs, state)
    model, optimizer = trained(quick=asked.quick)
    live = tensors_of(state_of(model, optimizer))
    size = sum(tensor.nbytes for tensor in live.values())

    contestants = {
        "memcpy": lambda: copy_in(live, state),
        "torch.load + copy": lambda: copy_in(live, torch.load(theirs, weights_only=True)),
        "torch.load + copy, memory kept": lambda: copy_in(live, torch.load(theirs, weights_only=True)),
        "torch.load (mmap) + copy": lambda: copy_in(live, torch.load(theirs, weights_only=True, mmap=True)),
        "holdfast verify, 1 thread": lambda: archive.verify(ours, threads=1),
        "holdfast verify": lambda: archive.verify(ours),
        "holdfast read": lambda: archive.read(ours),
        "holdfast.load_checkpoint": lambda: holdfast.load_checkpoint(ours, model, optimizer),
    }
    try:
        seconds = interleaved(contestants, asked.rounds, before=forget_freed_memory)
        kept = "torch.load + copy, memory kept"
        contestants[kept]()
        seconds |= {kept: interleaved({kept: contestants[kept]}, asked.rounds, before=lambda: None)[kept]}
        peak = extra_memory(contestants["holdfast.load_checkpoint"])
        memory = memoryview(bytearray(ours.stat().st_size))
        from_disk = {
            "raw read": lambda: read_raw(ours, memory),
            "torch.load + copy": contestants["torch.load + copy"],
            "holdfast verify": contestants["holdfast verify"],
            "holdfast.load_checkpoint": contestants["holdfast.load_checkpoint"],
        }
        cold = interleaved(from_disk, asked.rounds, before=lambda: forget(ours, theirs))
    finally:
        shutil.rmtree(folder)
    print(f"{machine()}\n{size / 1e6:.0f} MB in {len(live)} tensors, {asked.rounds} rounds, in {asked.folder}\n")
    print(table(seconds, size, ["memcpy", "torch.load + copy"]))
    print(f"\nFrom the disk (out of memory before each):\n\n{table(cold, size, ['raw read', 'torch.load + copy'])}")
    load = ratio(seconds, "holdfast.load_checkpoint", "torch.load + copy")
    load_kept = ratio(seconds, "holdfast.load_checkpoint", kept)
    disk = 1 / ratio(cold, "holdfast.load_checkpoint", "raw read")
    speed = 1 / ratio(seconds, "holdfast verify, 1 thread", "memcpy")
    print(
        f"\nA verified load takes {load:.2f} of an unverified torch.load + copy (goal 0.35, with zlib 0.45; "
        f"{load_kept:.2f} where torch.load finds its memory kept), with {peak:.0f} MB of extra memory (goal 64); "
        f"verifying runs at {speed:.2f} of the speed of memcpy with one thread (goal 0.85). "
        f"From the disk a verified load has {disk:.2f} of a raw read (goal 0.90)."
    )


if __name__ == "__main__":
    main()
