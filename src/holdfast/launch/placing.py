"""Where a new run goes, and what is in its folder from its first moment."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from holdfast.config import Resolved, flatten, to_yaml
from holdfast.engine.system import System
from holdfast.errors import (
    ConfigError,
)
from holdfast.launch.telling import json_text
from holdfast.run.folder import RunFolder, Status, automatic_name, check_name
from holdfast.run.provenance import describe


def existing_run(system: System, resolved: Resolved) -> RunFolder | None:
    """Gives the run that a request with a fixed name would make, when it is there already."""
    path, numbered = _place(system, resolved)
    if numbered:
        raise ConfigError(
            "`--resume auto` must know the run's name, but got none; add --name NAME, or resume a run by its folder."
        )
    return RunFolder.open(path) if RunFolder.is_run(path) else None


def create_run_folder(system: System, resolved: Resolved, command: Sequence[str]) -> RunFolder:
    """Makes the folder of a new run, complete or not at all."""
    config = resolved.config
    provenance = describe(command, seed=config.seed, source=_source_of(system))
    files: dict[str, str | bytes] = dict(provenance.files)
    files["config.yaml"] = to_yaml(resolved.values)
    files["config.json"] = json_text(resolved.values)
    files["provenance.json"] = json_text(provenance.document)
    files["git_commit.txt"] = provenance.commit + "\n"
    files["status.json"] = Status(state="running", stage=resolved.stage or "train").to_json()
    path, numbered = _place(system, resolved)
    return RunFolder.create(path, files, numbered=numbered)


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
