"""Prints a hash of what a finished training has left: every tensor of its last checkpoint, and its curves.

It needs only the standard library, so that a judge may ask for it often. What a checkpoint says beside its tensors is
left out, for the time of day is in it; the counters are in the curves.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path


def fingerprint(run: Path) -> str:
    sha = hashlib.sha256()
    with zipfile.ZipFile(run / "checkpoints" / "checkpoint_latest.pth") as checkpoint:
        for name in sorted(checkpoint.namelist()):
            if "/data/" in name:
                sha.update(name.encode() + checkpoint.read(name))
    for name in ("metrics.jsonl", "metrics.csv"):
        sha.update((run / "logs" / name).read_bytes())
    return sha.hexdigest()


if __name__ == "__main__":
    print(fingerprint(Path(sys.argv[1])))
