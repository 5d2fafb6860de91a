"""The verdicts of a judge that is not ours: a training is killed at each of its file events, resumed, and compared.

The judge is ckpt-chaos (on PyPI). It knows nothing of Holdfast: it runs one command line without a fault, notes every
file that is created, renamed or removed, kills a fresh copy before each of these events (and once more with the file
cut to its half, where Python's `open` writes it), runs the same command line again, and compares what that leaves.
PASS: it ends as the uninterrupted one, and went on from the newest whole checkpoint. HARD_FAIL: the second run failed.
SILENT_DIVERGENCE: it ended otherwise. LOST_WORK: it began earlier than it had to.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from ckpt_chaos.byo import run_byo
from ckpt_chaos.runner import Row

from _measure import print_machine

HERE = Path(__file__).resolve().parent
REPORT = HERE / "results" / "chaos.md"
TRAIN = (
    "holdfast train examples.spirals:system --output-dir . --name run --resume auto --count 40 --batch-size 8 "
    "--epochs 2 --save-interval '3 steps' --keep-last-n 100"
)
"""Shuffling, noise on each sample, dropout, Adam, a schedule, an evaluation and a best in each epoch of five steps."""
_NUMBERS = re.compile(r"(\.tmp-|\.creating-)\d+|(events\.out\.tfevents)\..*?(?= \[|$)")


def judge(folder: Path, *, max_points: int) -> list[Row]:
    """Gives the judge's verdict for each point at which the training was killed; the first one is without a kill."""
    shutil.copytree(HERE.parent / "examples", folder / "code" / "examples")
    paths = [str(folder / "code"), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["OMP_NUM_THREADS"] = "1"
    return run_byo(
        # From within its folder, so that every run has the same configuration and checkpoints of the same size.
        ["sh", "-c", f"mkdir -p {{out}} && cd {{out}} && exec {TRAIN}"],
        None,
        folder / "judged",
        jobs=2,
        max_points=max_points,
        result_cmd=f"{sys.executable} {HERE / '_fingerprint.py'} {{out}}/run",
        step_regex=r"going on from .* step (\d+)\)",
        checkpoint_glob="{out}/run/checkpoints/checkpoint_step*.pth",
    )


def astray(folder: Path, rows: Sequence[Row]) -> list[str]:
    """Gives the points at which the process did not die at the planned event; numbers of processes may differ."""
    found = []
    for order, row in enumerate(rows):
        if order:
            log = folder / "judged" / f"pt_{order:03d}" / "events.log.rank0"
            number, kind, name, _ = log.read_text().splitlines()[-1].split("\t")
            if not (row.crashed and plain(row.label).startswith(plain(f"#{number} {kind}:{name}"))):
                found.append(row.label)
    return found


def plain(label: str) -> str:
    """Takes the numbers of processes, times and hosts out of a label."""
    return _NUMBERS.sub(lambda match: f"{match[1]}N" if match[1] else match[2], label)


def table(rows: Sequence[Row]) -> str:
    lines = ["| killed at | newest whole checkpoint | went on from | verdict |", "| --- | --- | --- | --- |"]
    for row in rows:
        seen = row.outcome
        started = f"step {seen.resumed_from_step}" if seen.resumed_from_step else "the start"
        newest = f"step {seen.newest_complete_step}" if seen.newest_complete_step else "none"
        if row.label.startswith("no crash"):
            lines.append(f"| never | | | {row.verdict} |")
        else:
            lines.append(f"| `{plain(row.label)}` | {newest} | {seen.raised or started} | {row.verdict} |")
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    counts = Counter(row.verdict for row in rows)
    others = ", ".join(f"{counts[name]} {name}" for name in ("HARD_FAIL", "SILENT_DIVERGENCE", "LOST_WORK"))
    return f"{counts['PASS']} of {len(rows)} verdicts are PASS; {others}"


def write_report(rows: Sequence[Row]) -> None:
    torn = sum("[torn]" in row.label for row in rows)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(
        f"# Judged by ckpt-chaos {version('ckpt-chaos')}\n\n"
        f"{summary(rows)}. {date.today().isoformat()}, Python {sys.version.split()[0]}, torch {version('torch')}, "
        f"one thread; made by `python3 dev.py bench chaos`.\n\n"
        f"    {TRAIN}\n\n"
        "The same command line trains and resumes. Compared are every tensor of the last checkpoint (weights, moments, "
        "generators) and the curves (`metrics.jsonl`, `metrics.csv`), byte by byte.\n\n"
        f"What this judge cannot see: its {torn} torn points are files that Python's `open` writes. A checkpoint is "
        "written through a descriptor, which it kills before every event but cannot cut; and a kill is no power cut. "
        "Both are the subject of `tests/crash`.\n\n"
        f"{table(rows)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three points: shows only that it runs")
    quick = parser.parse_args().quick
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = judge(folder, max_points=3 if quick else 1000)
        elsewhere = astray(folder, rows)
    print(table(rows))
    if not quick:
        write_report(rows)
    for label in elsewhere:
        print(f"not killed where it should have been: {label}")
    print(summary(rows))
    sys.exit(bool(elsewhere) or any(row.verdict != "PASS" for row in rows))


if __name__ == "__main__":
    main()
