"""What the benchmarks of saving and loading share: one state, interleaved rounds, a table with medians and spread."""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from holdfast.checkpoint.checksum import ENGINE

Contestant = Callable[[], object]


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    quick: bool
    rounds: int
    folder: Path


def options(description: str) -> Options:
    """Gives the options of the command line: `--quick`, `--rounds N`, `--folder DIR`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="40 MB instead of 800: shows only that it runs")
    parser.add_argument("--rounds", type=int, help="rounds in which each contestant runs once (default 7; quick 3)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the files are written")
    found = parser.parse_args()
    return Options(found.quick, found.rounds or (3 if found.quick else 7), found.folder)


def trained(*, quick: bool) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Gives a network and AdamW after one step: 805 MB (quick: 38 MB) of 32-bit numbers."""
    layers, width = (3, 1024) if quick else (16, 2048)
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Linear(width, width, bias=False) for _ in range(layers)])
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, width)).square().mean().backward()
    optimizer.step()
    return model, optimizer


def state_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Gives their state, which is the live one."""
    return {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "step": 1}


def training_state(*, quick: bool) -> dict[str, Any]:
    """Gives the state of `trained`."""
    return state_of(*trained(quick=quick))


def machine() -> str:
    """Names the machine and the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} processors, "
        f"{memory:.0f} GB; Python {platform.python_version()}, torch {torch.__version__} "
        f"({torch.get_num_threads()} thread), checksums by {ENGINE}"
    )


def forget_freed_memory() -> None:
    """Gives freed memory back to the system, so that each contestant starts as a new process would."""
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def interleaved(
    contestants: Mapping[str, Contestant], rounds: int, *, before: Callable[[], None]
) -> dict[str, list[float]]:
    """Gives the seconds of each contestant in each round, after one round that does not count.

    Each round starts with another contestant, so that none always follows the same one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds + 1):
        order.append(order.pop(0))
        for name in order:
            before()
            start = time.perf_counter()
            contestants[name]()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def extra_memory(run: Contestant) -> float:
    """Gives by how many MB the peak of this process's memory rises while `run` runs; nan where this is not known."""
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    forget_freed_memory()
    Path("/proc/self/clear_refs").write_text("5")
    before = _kilobytes(status, "VmRSS")
    run()
    return (_kilobytes(status, "VmHWM") - before) / 1024


def _kilobytes(status: Path, field: str) -> int:
    return int(status.read_text().split(f"{field}:")[1].split()[0])


def table(seconds: Mapping[str, Sequence[float]], size: int, rivals: Sequence[str]) -> str:
    """Gives rows of seconds, GB/s and the ratios to each rival, all medians of ratios within one round, with spread."""
    lines = [
        f"| way | seconds (min..max) | GB/s | {' | '.join(f'x {rival}' for rival in rivals)} |",
        "|---" * (3 + len(rivals)) + "|",
    ]
    for name, values in seconds.items():
        middle = statistics.median(values)
        ratios = [f"{ratio(seconds, name, rival):.2f} ({spread(seconds, name, rival)})" for rival in rivals]
        spent = f"{middle:.3f} ({min(values):.3f}..{max(values):.3f})"
        lines.append(f"| {name} | {spent} | {size / middle / 1e9:.1f} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def ratio(seconds: Mapping[str, Sequence[float]], name: str, rival: str) -> float:
    """Gives the median, over the rounds, of one contestant's time in units of another's."""
    return statistics.median(_ratios(seconds, name, rival))


def spread(seconds: Mapping[str, Sequence[float]], name: str, rival: str) -> str:
    """Gives the smallest and the largest of these ratios."""
    found = _ratios(seconds, name, rival)
    return f"{min(found):.2f}..{max(found):.2f}"


def _ratios(seconds: Mapping[str, Sequence[float]], name: str, rival: str) -> list[float]:
    return [mine / its for mine, its in zip(seconds[name], seconds[rival], strict=True)]
