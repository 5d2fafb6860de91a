"""`holdfast backup`."""

from __future__ import annotations

from pathlib import Path


def backup(run: str, folder: str = "backups", /, *, weights_only: bool = False) -> int:
    """Copy a run to backups/NAME_YYYYmmdd_HHMMSS and check the copy, byte by byte; the run may be running.

    The copy is a run of its own: it can be resumed, evaluated and compared.

    Args:
        run: A run folder or its name.
        folder: Where backups go; created when missing.
        weights_only: Leave out everything but weights, configuration and provenance.
    """
    from datetime import datetime

    from holdfast.backup import back_up
    from holdfast.cli.tables import count_text, size_text
    from holdfast.run.find import find_run
    from holdfast.run.folder import RunFolder

    made = back_up(RunFolder(find_run(run)), Path(folder), weights_only=weights_only, now=datetime.now())
    print(
        f"{made.path}: {count_text(made.files, 'file')}, {size_text(made.bytes)}; "
        f"{count_text(made.checked, 'checkpoint')} checked, byte by byte"
    )
    for name in made.damaged:
        print(f"DAMAGED in the run itself, so left out: {name}")
    return 1 if made.damaged else 0
