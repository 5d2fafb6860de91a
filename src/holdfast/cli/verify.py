"""`holdfast verify`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from holdfast.errors import CheckpointError, DamagedCheckpoint, RunError


def verify(*paths: str) -> int:
    """Check every byte of checkpoints; exit code 1 when one is damaged.

    Args:
        paths: Checkpoint files, run folders or their names; a run means all of its checkpoints.
    """
    from holdfast.checkpoint import archive
    from holdfast.errors import UserError

    if not paths:
        raise UserError("`verify` must be given checkpoints or runs, but got none; name a file or a run.")
    files = [file for path in paths for file in _checkpoints(path)]
    damaged = 0
    for file in files:
        try:
            archive.verify(file)
        except FileNotFoundError:
            print(f"gone     {file} (a living run removes what it does not keep)")
        except DamagedCheckpoint as error:
            damaged += 1
            print(f"DAMAGED  {file}: {error}")
        except (CheckpointError, OSError) as error:
            damaged += 1
            print(f"REFUSED  {file}: {error}")
        else:
            print(f"good     {file}")
    print(f"{len(files)} checked, {damaged} bad")
    return 1 if damaged else 0


def _checkpoints(path: str) -> list[Path]:
    """Gives the files that a path or a run's name means; of several names of one file the numbered one."""
    from holdfast.run.find import BEST, LATEST, find_run

    place = Path(path).expanduser()
    if place.is_file():
        return [place]
    folder = place if place.is_dir() else find_run(path)
    there = [file for file in folder.rglob("*.pth") if file.is_file()]
    files = sorted(there, key=lambda file: file.name not in (LATEST, BEST))
    found: dict[tuple[int, int], Path] = {}
    for file in files:
        with suppress(FileNotFoundError):
            found[file.stat().st_dev, file.stat().st_ino] = file
    if not found:
        raise RunError(f"`{path}` must hold checkpoints, but there is no .pth file in {folder}; name another.")
    return sorted(found.values())
