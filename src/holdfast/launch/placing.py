"""Where a new run goes, and what is in its folder from its first moment."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast import durable
from holdfast.checkpoint import archive
from holdfast.checkpoint.store import LATEST
from holdfast.config import Resolved, flatten, to_yaml
from holdfast.engine.system import System
from holdfast.errors import (
    ConfigError,
    RunError,
)
from holdfast.launch.telling import json_text
from holdfast.run.creating import LOCK
from holdfast.run.folder import RunFolder, Status, automatic_name, check_name
from holdfast.run.provenance import describe


@dataclass(frozen=True)
class First:
    """What a run begins with that does not follow from its configuration: it is in its folder from the start."""

    state: Mapping[str, Any]
    """The first checkpoint."""
    origin: Mapping[str, Any]
    """Where it comes from, for provenance.json."""


def existing_run(system: System, resolved: Resolved) -> RunFolder | None:
    """Gives the run that a request with a fixed name would make, when it is there already."""
    path, numbered = _place(system, resolved)
    if numbered:
        raise ConfigError(
            "`--resume auto` must know the run's name, but got none; add --name NAME, or resume a run by its folder."
        )
    return RunFolder.open(path) if RunFolder.is_run(path) else None


def create_run_folder(
    system: System, resolved: Resolved, command: Sequence[str], first: First | None = None
) -> RunFolder:
    """Makes the folder of a new run, complete or not at all."""
    config, stage = resolved.config, resolved.stage or "train"
    provenance = describe(command, seed=config.seed, source=_source_of(system))
    status = Status(state="running", stage=stage)
    files: dict[str, str | bytes | Path] = dict(provenance.files)
    files["config.yaml"] = to_yaml(resolved.values)
    files["config.json"] = json_text(resolved.values)
    files["provenance.json"] = json_text({**provenance.document, **(first.origin if first else {})})
    files["git_commit.txt"] = provenance.commit + "\n"
    path, numbered = _place(system, resolved)
    with ExitStack() as stack:
        if first:
            status = replace(status, **{key: first.state[key] for key in ("epoch", "step", "samples")})
            folder = RunFolder(path)
            place = folder.checkpoints(stage).relative_to(folder.path)
            files[str(place / LATEST)] = stack.enter_context(_written(first.state, path))
        files["status.json"] = status.to_json()
        return RunFolder.create(path, files, numbered=numbered)


@contextmanager
def _written(state: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Writes a checkpoint beside the folder that will be, so that the folder can have it by a link."""
    # What a kill leaves of it goes, as any half-made folder, when the next run is made here.
    staging = Path(os.path.abspath(path)).with_name(f".{path.name}.first.creating-{os.getpid()}")
    try:
        durable.make_folder(staging)
        lock = durable.Lock(staging / LOCK)
        lock.acquire()
    except OSError as error:
        raise RunError(
            f"`{path}` must be a place where a run can be created, but got '{error.strerror}' for {error.filename}; "
            "choose another with --output-dir or --name."
        ) from error
    try:
        with durable.replacing(staging / LATEST) as descriptor:
            archive.write(descriptor, state)
        yield staging / LATEST
    finally:
        lock.release()
        shutil.rmtree(staging, ignore_errors=True)


def _place(system: System, resolved: Resolved) -> tuple[Path, bool]:
    """Gives the folder of a new run, and whether an equal name gets a number."""
    run = resolved.config.run
    if run.name is not None:
        check_name(run.name)
        return Path(run.root) / run.name, False
    if system.output_dir_is_run and resolved.origins["run.root"].startswith("command line"):
        return Path(run.root), False
    flat = flatten(resolved.values)
    label = str(flat.get("model.name") or system.name)
    named = [(key, flat[key]) for key in system.named_by if key in flat]
    return Path(run.root) / automatic_name(label, named, datetime.now()), True


def _source_of(system: System) -> Path | None:
    """Gives the file in which a system's functions are written."""
    file = inspect.getsourcefile(system.model)
    return Path(file) if file else None
