"""The `holdfast` command: which commands there are, and how a run ends for the shell.

Exit codes: 0 done; 1 the work failed; 2 the user's mistake (one line, no traceback); 130 and 143 after a clean stop by
SIGINT and SIGTERM with a checkpoint saved. `HOLDFAST_TRACEBACK=1` shows tracebacks.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from holdfast import __version__
from holdfast.cli.words import own_options, set_aside
from holdfast.errors import HoldfastError, Interrupted, UserError

COMMANDS = {
    "train": ("holdfast.cli.train:train", "Train a system, in a new run folder."),
    "resume": ("holdfast.cli.resume:resume", "Go on with a run where it stopped."),
    "evaluate": ("holdfast.cli.evaluate:evaluate", "Evaluate a run's best checkpoint on the held-out data."),
    "predict": ("holdfast.cli.predict:predict", "Predict on files of your own: JSON and pictures."),
    "runs": ("holdfast.cli.runs:runs", "List runs: status, progress, best metric, last checkpoint, size, age."),
    "inspect": ("holdfast.cli.inspect:inspect", "Show what is in a checkpoint, ours or foreign, without running it."),
    "compare": ("holdfast.cli.compare:compare", "Compare two checkpoints: counters, metric, config, every parameter."),
    "import": (
        "holdfast.cli.import_foreign:import_foreign",
        "Turn a foreign checkpoint into one of ours.",
    ),
    "export": ("holdfast.cli.export:export", "Write the weights of a checkpoint: .pth or .safetensors."),
    "backup": ("holdfast.cli.backup:backup", "Copy a run, whole or its weights only, and check the copy."),
    "verify": ("holdfast.cli.verify:verify", "Check every byte of checkpoints; exit code 1 when one is damaged."),
    "prune": (
        "holdfast.cli.prune:prune",
        "Remove checkpoints that no rule keeps; --explain says which rule keeps which.",
    ),
    "prove": (
        "holdfast.cli.prove:prove",
        "Kill a training, resume it, and compare it with the uninterrupted one, to the last bit.",
    ),
    "config": ("holdfast.cli.config:config", "Show the resolved configuration and where each key came from."),
    "make-data": ("holdfast.cli.make_data:make_data", "Make a small data set in a system's real format."),
    "convert": ("holdfast.cli.convert:convert", "Turn real raw data into the form that training reads."),
}
"""Name, import path (imported only when asked for) and help line of each command."""

ALIASES = {
    "train": {"-e": "--evaluate", "--ckpt": "--resume", "-c": "--config"},
    "predict": {"-o": "--output-dir"},
}
"""Short and old spellings of commands' own options."""

_EPILOGUE = """
Begin with:

    holdfast make-data glint eyes

    holdfast train glint --preset tiny --data-path eyes
"""


def main(words: Sequence[str] | None = None) -> None:
    """Runs one command and ends the process with its exit code."""
    sys.exit(run(list(sys.argv[1:] if words is None else words)))


def run(words: list[str]) -> int:
    """Runs one command and gives its exit code; errors become one line on standard error."""
    try:
        app = _app(words[0] if words else None)
        outcome = app(_prepared(words), exit_on_error=False, print_error=False, result_action="return_value")
        return outcome if isinstance(outcome, int) else 0
    except BrokenPipeError:
        # The reader (`head`, `less`) has gone. That is no error of a command that only prints.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if words[0] in ("train", "resume") else 0
    except Interrupted as interrupted:
        return interrupted.exit_code
    except KeyboardInterrupt:
        return 130
    except (HoldfastError, CycloptsError) as error:
        if os.environ.get("HOLDFAST_TRACEBACK") == "1":
            raise
        print(_one_line(error), file=sys.stderr)
        return 2 if isinstance(error, UserError | CycloptsError) else 1
    except OSError as error:
        if os.environ.get("HOLDFAST_TRACEBACK") == "1":
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(
            f"holdfast: the system refused: {error.strerror or error}{place}; "
            "look for room and permissions, then try again",
            file=sys.stderr,
        )
        return 1


def _prepared(words: list[str]) -> list[str]:
    if not words or words[0] not in COMMANDS:
        return words
    module, _, name = COMMANDS[words[0]][0].partition(":")
    command = getattr(importlib.import_module(module), name)
    return [words[0], *set_aside(words[1:], own_options(command), ALIASES.get(words[0], {}))]


def _app(chosen: str | None) -> App:
    """Gives the command parser; the chosen command explains itself by its docstring, the others by one line."""
    app = App(
        name="holdfast",
        help="Train PyTorch models in runs that survive being killed anywhere.",
        help_epilogue=None if chosen in COMMANDS else _EPILOGUE,
        version=__version__,
    )
    for order, (name, (path, line)) in enumerate(COMMANDS.items()):
        app.command(path, name=name, help=None if name == chosen else line, sort_key=order)
    return app


def _one_line(error: Exception) -> str:
    if isinstance(error, CycloptsError):
        return f"holdfast: {error} See `holdfast --help`."
    return f"holdfast: {error}"
