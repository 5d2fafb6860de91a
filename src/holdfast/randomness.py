"""Every draw of a run as a pure function of (seed, stage, purpose, counters), and the global generators as state.

A key does not depend on what was drawn before it. Whoever knows the clock knows every random number of the next
step, so there is no stream to lose when a process dies, and nothing that a worker, an evaluation or a log line
could disturb.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from struct import pack
from typing import Any

import numpy as np
import torch

_LOW_32 = 0xFFFFFFFF


class Keys:
    """The keys of one purpose: like a generator that is called with its position instead of keeping one."""

    def __init__(self, seed: int, stage: str, purpose: str) -> None:
        self._base = blake2b(f"holdfast 1\0{seed}\0{stage}\0{purpose}".encode(), digest_size=8)

    def __call__(self, *counters: int) -> int:
        """Gives the 64-bit key of these counters."""
        digest = self._base.copy()
        digest.update(pack(f"<{len(counters)}q", *counters))
        return int.from_bytes(digest.digest(), "little")

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("`Keys` cannot be pickled; make them anew from seed, stage and purpose.")


def seed_all(key: int) -> None:
    """Sets the global generators of Python, NumPy and torch (on the CPU, and on every CUDA device in use)."""
    torch.default_generator.manual_seed(key)
    np.random.seed(key & _LOW_32)
    random.seed(key)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(key)


def capture() -> dict[str, Any]:
    """Gives the state of the global generators as plain values and tensors."""
    name, words, position, has_gauss, gauss = np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    return {
        "python": random.getstate(),
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(words, np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def restore(state: dict[str, Any]) -> None:
    """Sets the global generators to a state that `capture` gave."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, numpy_words, *rest = state["numpy"]
    np.random.set_state((name, numpy_words.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        for device, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(cuda_state, device)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Puts the global generators back, after a block, to where they were."""
    state = capture()
    try:
        yield
    finally:
        restore(state)
