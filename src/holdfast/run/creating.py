"""A folder that comes into being complete or not at all."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast import durable
from holdfast.errors import RunError

LOCK = ".lock"
MARK = "config.yaml"
_BESIDE_MARK = ("config.json", "status.json", "provenance.json")
_UNFINISHED = re.compile(r"\..+\.creating-(\d+)")
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def is_run(path: Path) -> bool:
    """Says whether a folder is a run: a `config.yaml` alone may be anybody's."""
    return (path / MARK).is_file() and any((path / name).is_file() for name in _BESIDE_MARK)


def create_folder(path: Path, files: Mapping[str, str | bytes | Path], *, numbered: bool) -> Path:
    """Creates a folder with these files, durably, and gives its path.

    It is built as a hidden neighbour and then renamed, so a kill leaves either all of it or nothing of that name.
    An existing empty folder is taken over.

    Args:
        path: The folder.
        files: Contents by relative name; names may have folders. A path means that file, sharing its bytes.
        numbered: What a taken name means: the next of NAME-2, NAME-3, ... (True) or an error (False).

    Raises:
        RunError: When the name is taken, or the place cannot be written to; nothing is left behind.
    """
    path = path.resolve() if path.is_symlink() else path
    if not numbered:
        _refuse_taken(path)
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        durable.make_folder(path.parent)
        _remove_unfinished(path.parent)
        with _staging(path) as staging:
            _write_files(staging, files)
            return _rename(staging, path, numbered=numbered)
    except OSError as error:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise RunError(
            f"`{path}` must be a place where a run can be created, but got '{error.strerror}' for {error.filename}; "
            "choose another with --output-dir or --name."
        ) from error


def _refuse_taken(path: Path) -> None:
    if is_run(path):
        raise RunError(
            f"`{path.name}` must be a new run, but got one that exists already: {path}; to go on with it add "
            f"--resume auto or use `holdfast resume {path}`; for a new run choose another --name."
        )
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise RunError(
            f"`{path.name}` must be a new or an empty folder, but got {path}, which holds something else than a run "
            "(nothing for --resume auto or `holdfast resume`); choose another --name."
        )
    if path == Path.cwd():
        raise RunError(f"`{path}` must not be the current folder; go one folder up, or add --name NAME.")


@contextmanager
def _staging(path: Path) -> Iterator[Path]:
    """Makes the hidden folder in which a new one is built; what is left of it at the end is removed."""
    folder = path.with_name(f".{path.name}.creating-{os.getpid()}")
    lock = durable.Lock(folder / LOCK)
    if not lock.is_held():
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _write_files(folder: Path, files: Mapping[str, str | bytes | Path]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            durable.link(content, path)
            continue
        with path.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    for inner, _, _ in os.walk(folder, topdown=False):
        durable.fsync_folder(Path(inner))


def _rename(staging: Path, path: Path, *, numbered: bool) -> Path:
    numbers = itertools.count(2)
    target = path
    while True:
        try:
            # Renaming a folder onto an empty one replaces it, onto any other fails: nobody can come in between.
            os.rename(staging, target)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            if not numbered:
                _refuse_taken(target)
                raise
            target = path.with_name(f"{path.name}-{next(numbers)}")
        else:
            durable.fsync_folder(target.parent)
            return target


def _remove_unfinished(folder: Path) -> None:
    """Removes what killed processes have left half built.

    Who is alive is asked twice, for the number of a process on another machine or in a container says nothing here,
    and a lock is taken only after the folder was made.
    """
    for path in folder.iterdir():
        match = _UNFINISHED.fullmatch(path.name)
        if match and not _is_alive(int(match[1])) and not durable.Lock(path / LOCK).is_held():
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
