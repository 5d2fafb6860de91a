"""The command line of `train_glint_unet.py`, as it always was: prints the new command, and runs it.

    python examples/glint/train_glint_unet.py --h5 train_256.h5 --output_dir runs/exp1 --epochs 100
    python examples/glint/train_glint_unet.py --h5 train_256.h5 --resume runs/exp1/latest_checkpoint.pth --epochs 200

Most old options are options of `holdfast train glint`, too, as they are; this script is for those that are not, and
for the old defaults.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

from holdfast.cli.main import main as run_holdfast

NEW_NAMES = {
    "h5": "--data-path",
    "epochs": "--epochs",
    "batch": "--batch-size",
    "lr": "--lr",
    "val_split": "--val-split",
    "num_workers": "--num-workers",
    "save_freq": "--save-freq",
    "keep_last_n": "--keep-last-n",
    "output_dir": "--output-dir",
    "loss": "--loss",
    "alpha": "--loss.alpha",
    "gamma": "--loss.gamma",
    "lam_focal": "--lam-focal",
    "lam_bce": "--lam-bce",
    "lam_dice": "--lam-dice",
    "div_weight": "--div-weight",
    "div_mode": "--div-mode",
    "lam_agg": "--lam-agg",
    "agg_mode": "--agg-mode",
    "agg_wF": "--agg-focal",
    "agg_wB": "--agg-bce",
    "agg_wD": "--agg-dice",
}
"""The old options that have a value which is still called so or otherwise."""

OF_LOSSES = {
    "focal": {"alpha", "gamma"},
    "bce": set(),
    "dice": set(),
    "hybrid": {name for name in NEW_NAMES if name.startswith(("lam_", "div_", "agg_"))} | {"alpha", "gamma"},
}
"""Which of them each loss looks at; the others were always ignored."""


def parser() -> argparse.ArgumentParser:
    """Gives the old options; none has a default, so that it is known which were given."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in NEW_NAMES:
        options.add_argument(f"--{name}", choices=tuple(OF_LOSSES) if name == "loss" else None)
    options.add_argument("--resume", help="go on from this checkpoint, in its run")
    options.add_argument("--gpu", help="the number of a GPU")
    options.add_argument("--no_save_optimizer", action="store_true", help="smaller files, but no exact resume")
    options.add_argument("--preload", action="store_true", help="read the data into memory (the default)")
    options.add_argument("--no_preload", action="store_true", help="read the data image by image")
    for old in ("shared_memory", "cleanup_shm"):
        options.add_argument(f"--{old}", action="store_true", help="of no effect")
    for old in ("save", "model_path"):
        options.add_argument(f"--{old}", help="of no effect: use --output_dir")
    return options


def translated(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Gives the words of the new command (none when there is nothing to do), and what there is to say about it."""
    old = parser().parse_args(words)
    notes: list[str] = []
    if old.cleanup_shm:
        return [], ["--cleanup_shm: nothing is left behind in shared memory, so there is nothing to clean up"]
    new = ["resume", old.resume] if old.resume else ["train", "glint", "--preset", "default"]
    loss = old.loss or "focal"
    for name, option in NEW_NAMES.items():
        value = getattr(old, name)
        if value is None:
            continue
        if any(name in names for names in OF_LOSSES.values()) and name not in OF_LOSSES[loss] and not old.resume:
            notes.append(f"--{name} is left out: the {loss} loss does not look at it")
        elif name == "output_dir" and old.resume:
            notes.append("--output_dir is left out: a run goes on in the folder that it has")
        else:
            new += [option, value]
    if old.gpu:
        first, *others = old.gpu.split(",")
        new += ["--gpu", first]
        notes += [f"--gpu {old.gpu}: GPU {first} is used, as it always was"] if others else []
    new += ["--no-save-optimizer"] * old.no_save_optimizer + ["--no-preload"] * old.no_preload
    if old.shared_memory:
        notes.append("--shared_memory is left out: the processes of a run share what it has preloaded without it")
    for name in ("save", "model_path"):
        if getattr(old, name) is not None:
            notes.append(f"--{name} is left out: --output_dir says where the run goes")
    return new, notes


def main() -> None:
    """Says what the old command line means now, and does it."""
    words, notes = translated(sys.argv[1:])
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    if not words:
        return
    print(f"$ holdfast {shlex.join(words)}", flush=True)
    sys.argv = ["holdfast", *words]  # what the run writes down as its command
    run_holdfast()


if __name__ == "__main__":
    main()
