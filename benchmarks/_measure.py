"""What the benchmarks share: interleaved rounds, medians with their spread, and the machine's name."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence

import torch


def arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="show only that it runs")
    parser.add_argument("--rounds", type=int, default=None, help="how often each contestant runs")
    return parser.parse_args()


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Runs every contestant once per round, so that a busy minute hits them all."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            results[name].append(run())
    return results


def print_ratios(results: Mapping[str, Sequence[float]], denominator: str, *, unit: str, scale: float) -> None:
    """Prints each contestant's median and its ratio to the denominator of the same round."""
    base = results[denominator]
    for name, values in results.items():
        ratios = [value / below for value, below in zip(values, base, strict=True)]
        low, high = min(ratios), max(ratios)
        median = statistics.median(values) * scale
        print(f"  {name:<42} {median:9.1f} {unit}   {statistics.median(ratios):5.2f}  ({low:.2f} to {high:.2f})")


def print_machine() -> None:
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )
