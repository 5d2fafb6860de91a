"""Where a run comes from: command, source, packages, machine; nothing about the person."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

_SECONDS = 5.0
"""How long one git command may take."""
_MOST_BYTES = 5_000_000
_MOST_FILES = 500
_SOURCES = (".py", ".yaml", ".yml")


@dataclass(frozen=True)
class Provenance:
    """What is kept of a run's origin."""

    document: dict[str, Any]
    """The content of `provenance.json`."""
    commit: str
    """The git commit, or `none (REASON)`."""
    files: Mapping[str, bytes]
    """Contents by name: `code/...`, and `code/uncommitted.diff` when something was not committed."""


class GitError(Exception):
    """Git, or what it knows, is not there; the message says why."""


def describe(command: Sequence[str], *, seed: int, source: Path | None) -> Provenance:
    """Gives where a run comes from, whatever of it can be found.

    Args:
        command: The command line.
        seed: The seed of the run.
        source: The file in which the system is written: its package (or the file alone) is kept as it is now.
    """
    files, left_out = _source_files(source)
    git, changes = _git_state([Path.cwd(), *([source.parent] if source else [])])
    if changes is not None:
        files["code/uncommitted.diff"] = changes
    torch = sys.modules.get("torch")
    document = {
        "command": list(command),
        "cwd": str(Path.cwd()),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seed": seed,
        "git": git,
        "source": {"file": str(source) if source else None, "kept": len(files), "left_out": left_out},
        "python": sys.version,
        "torch": torch.__version__ if torch else None,
        "threads": torch.get_num_threads() if torch else os.environ.get("OMP_NUM_THREADS"),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpus": os.cpu_count(),
        "packages": _packages(),
    }
    return Provenance(document, git.get("commit") or f"none ({git['none']})", files)


def _packages() -> dict[str, str]:
    found = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    return dict(sorted((name, version) for name, version in found.items() if name))


def _source_files(source: Path | None) -> tuple[dict[str, bytes], int]:
    """Gives the system's source by name, the file that holds the system first, and how many files were too many."""
    if source is None or not source.is_file():
        return {}, 0
    folder = source.parent
    paths = [source]
    if (folder / "__init__.py").is_file():
        inner = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
        paths += sorted(path for path in inner if path.suffix in _SOURCES and path != source)
    files: dict[str, bytes] = {}
    room = _MOST_BYTES
    for path in paths:
        try:
            content = path.read_bytes() if path.stat().st_size <= room else None
        except OSError:
            content = None
        if content is not None and len(files) < _MOST_FILES:
            files[f"code/{path.relative_to(folder).as_posix()}"] = content
            room -= len(content)
    return files, len(paths) - len(files)


def _git_state(places: Sequence[Path]) -> tuple[dict[str, Any], bytes | None]:
    """Gives what git says about the first of the places that is in a repository, and what is not committed there."""
    try:
        root = _root(places)
    except GitError as error:
        return {"none": str(error)}, None
    state: dict[str, Any] = {"root": str(root), "commit": None}
    try:
        state["commit"] = _git(root, "rev-parse", "--verify", "HEAD").decode().strip()
    except GitError as error:
        no_commits = "needed a single revision" in str(error).lower()
        state["none"] = "a git repository without a commit" if no_commits else str(error)
    try:
        state["branch"] = _git(root, "symbolic-ref", "--short", "-q", "HEAD").decode().strip()
    except GitError:
        state["branch"] = None
    try:
        changed = _git(root, "status", "--porcelain").decode(errors="replace").splitlines()
    except GitError as error:
        return {**state, "dirty": None, "unknown": str(error)}, None
    untracked = [line[3:] for line in changed if line.startswith("??")]
    return {**state, "dirty": bool(changed)}, _uncommitted(root, untracked) if changed else None


def _root(places: Sequence[Path]) -> Path:
    """Gives the folder of the repository in which the first possible of the places lies."""
    reason = GitError("not inside a git repository")
    for place in places:
        try:
            return Path(os.fsdecode(_git(place, "rev-parse", "--show-toplevel").rstrip(b"\n")))
        except GitError as error:
            if "not a git repository" not in str(error):
                reason = error
    raise reason


def _uncommitted(root: Path, untracked: Sequence[str]) -> bytes:
    try:
        changes = _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv")
    except GitError as error:
        changes = f"# no difference to the last commit: {error}\n".encode()
    if len(changes) > _MOST_BYTES:
        changes = changes[:_MOST_BYTES] + b"\n# cut off here: the difference is larger than 5 MB\n"
    names = "".join(f"# not tracked: {name}\n" for name in untracked)
    return names.encode()[:_MOST_BYTES] + changes


def _git(place: Path, *words: str) -> bytes:
    """Gives what a git command prints, at most a little more than is kept of it.

    Raises:
        GitError: When it cannot run, fails or takes too long.
    """
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    # A file, not a pipe: the difference of a huge repository must not fill the memory.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                ["git", "-C", str(place), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                env=environment,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise GitError("git is not installed") from error
        except subprocess.TimeoutExpired as error:
            raise GitError(f"`git {words[0]}` took more than {_SECONDS:g} seconds") from error
        except OSError as error:
            raise GitError(f"git cannot be run: {error.strerror}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise GitError(said[0] if said else f"`git {words[0]}` failed")
        output.seek(0)
        return output.read(_MOST_BYTES + 1)
