"""`holdfast.open_run`: the folder of a run whose loop is one's own, new or continued."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import torch

from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import Store
from holdfast.clock import parse_every
from holdfast.config import changes, to_yaml
from holdfast.engine.ending import Ending
from holdfast.engine.own_course import Course, Found
from holdfast.engine.own_epoch import curve_name
from holdfast.engine.own_loop import OwnLoop
from holdfast.engine.own_state import OwnProgress, restore
from holdfast.engine.state import platform_facts
from holdfast.engine.trace import ROOT, SAVE_INTERVAL
from holdfast.engine.training import Goal, SavePlan
from holdfast.errors import ConfigError, RunError
from holdfast.randomness import Keys, seed_all
from holdfast.run.folder import RunFolder, Status
from holdfast.run.provenance import describe

_DEFAULT_SEED = 1000


def open_run(
    path: str | Path,
    *,
    config: Mapping[str, Any] | None = None,
    seed: int | None = None,
    save_interval: int | str | Sequence[int | str] = 1,
    keep_last_n: int = 3,
    monitor: str | None = None,
    mode: Literal["min", "max"] | None = None,
    log_interval: int = 10,
    tensorboard: bool = True,
) -> OwnLoop:
    """Opens a run for a loop of your own: a new one, or by the same command the one that was interrupted.

    The global generators are set from the seed here, so build the model afterwards.

    Args:
        path: The run's folder.
        config: What the run was asked to do, kept with it; a difference on continuing is printed.
        seed: Decides every draw; by default the `seed` of the config, else 1000.
        save_interval: When a numbered checkpoint is saved: epochs, or "100 steps", "10 minutes", or a list of these.
        keep_last_n: How many numbered checkpoints are kept.
        monitor: The recorded value that says which state is the best, `"val_acc"`; None for none.
        mode: Whether lower or higher is better; by default lower for a loss, else higher.
        log_interval: A step is written down when its number is a multiple of this.
        tensorboard: Whether curves are written for TensorBoard, too.

    Raises:
        UserError: When something about the request cannot be, or another process has the run.
    """
    frame = inspect.currentframe()
    caller = Path(frame.f_back.f_code.co_filename) if frame and frame.f_back else None
    path = Path(os.environ[ROOT]) / Path(path).name if ROOT in os.environ else Path(path)
    goal = _goal(monitor, mode)
    save_plan = _save_plan(os.environ.get(SAVE_INTERVAL, save_interval))
    settings = {
        "save_interval": save_interval if isinstance(save_interval, int | str) else list(save_interval),
        "keep_last_n": _count("keep_last_n", keep_last_n),
        "monitor": goal.monitor or None,
        "mode": goal.mode,
        "log_interval": _count("log_interval", log_interval),
        "tensorboard": tensorboard,
    }
    values = _values(config or {}, seed, settings)
    is_new = not RunFolder.is_run(path)
    folder = _create(path, values, caller) if is_new else RunFolder.open(path)
    with ExitStack() as held:
        held.enter_context(folder.lock())
        store = held.enter_context(closing(Store(folder.checkpoints("train"), keep_in(values))))
        found = None if is_new else _continue(folder, store, values)
        progress = OwnProgress(goal, save_plan)
        if found:
            restore(progress, found[1])
        seed_all(Keys(values["seed"], "", "model")())
        ending = Ending(folder.path, held.pop_all())
    print(f"run: {folder.path}" if found is None else _going_on(*found))
    return OwnLoop(Course(folder, store, progress, values=values, found=found, ending=ending), ending)


def keep_in(values: Mapping[str, Any]) -> Keep:
    """Gives what the configuration of such a run says about which checkpoints are kept."""
    settings = values["own_loop"]
    return Keep(last=settings["keep_last_n"], mode=settings["mode"])


def _values(config: Mapping[str, Any], seed: int | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the configuration as it is written down, as plain values."""
    given = config.get("seed")
    if seed is not None and given is not None and given != seed:
        raise ConfigError(f"`seed` must be the same twice, but got {seed} and {given} in the config; leave one out.")
    chosen = next((one for one in (seed, given) if one is not None), _DEFAULT_SEED)
    if isinstance(chosen, bool) or not isinstance(chosen, int):
        raise ConfigError(f"`seed` must be a whole number, but got {chosen!r}.")
    plain: dict[str, Any] = {str(key): _plain(value) for key, value in config.items()}
    return {**plain, "system": "own_loop", "seed": chosen, "own_loop": dict(settings)}


def _plain(value: Any) -> Any:
    """Gives a value of a configuration as YAML and JSON can hold it; what they cannot, as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else str(value)


def _goal(monitor: str | None, mode: Literal["min", "max"] | None) -> Goal:
    if mode not in (None, "min", "max"):
        raise ConfigError(f"`mode` must be min or max, but got {mode!r}.")
    name = curve_name(monitor) if monitor else ""
    return Goal(name, mode or ("min" if name.lower().endswith("loss") else "max"))


def _save_plan(interval: int | str | Sequence[int | str]) -> SavePlan:
    try:
        return SavePlan(parse_every(interval, "epochs"), "epochs")
    except ValueError as error:
        raise ConfigError(f"`save_interval` {error}.") from error


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"`{name}` must be a whole number from 1 on, but got {value!r}.")
    return value


def _create(path: Path, values: Mapping[str, Any], caller: Path | None) -> RunFolder:
    provenance = describe(sys.argv, seed=values["seed"], source=caller)
    files: dict[str, str | bytes | Path] = dict(provenance.files)
    files["config.yaml"] = to_yaml(values)
    files["config.json"] = _json(values)
    files["provenance.json"] = _json(provenance.document)
    files["git_commit.txt"] = provenance.commit + "\n"
    files["status.json"] = Status(state="running").to_json()
    return RunFolder.create(path, files, numbered=False)


def _continue(folder: RunFolder, store: Store, values: Mapping[str, Any]) -> Found | None:
    """Gives the state from which a run goes on, once it is sure that it may go on with this configuration."""
    old = folder.config_values()
    if "own_loop" not in old:
        raise RunError(
            f"`{folder.path}` must be a run that open_run began, but got one of the system {old.get('system')!r}; "
            f"go on with it by `holdfast resume {folder.path}`, or choose another folder."
        )
    if old["seed"] != values["seed"]:
        raise ConfigError(
            f"`seed` must stay {old['seed']} in this run, but got {values['seed']}; begin a new run in another folder."
        )
    found = store.load_newest()
    if found:
        _same_platform(found[1]["metadata"])
    different = changes(old, values)
    for key, before, after in [*different.allowed, *different.refused]:
        print(f"changed: {key} from {before} to {after}")
    if different.refused:
        print("what is tracked comes back as it was saved, the rates of an optimizer included")
    folder.write_config(to_yaml(values), values)
    folder.add_session({"command": list(sys.argv), "resumed": datetime.now().isoformat(timespec="seconds")})
    return found


def _same_platform(metadata: Mapping[str, Any]) -> None:
    """Uses as many threads as the run did, and says what else decides on bits and has changed."""
    threads = metadata["threads"]
    if threads != torch.get_num_threads():
        print(f"using {threads} threads as the run did, instead of {torch.get_num_threads()}: its bits depend on it")
        torch.set_num_threads(threads)
    now = platform_facts(torch.device("cpu"))
    changed = [f"{name} {metadata[name]} -> {now[name]}" for name in ("torch", "cpu") if metadata[name] != now[name]]
    if changed:
        print(f"not exact from here on: another platform may round otherwise ({', '.join(changed)})")


def _going_on(path: Path, state: Mapping[str, Any]) -> str:
    return f"going on from {path} (epoch {state['epoch']}, step {state['step']})"


def _json(document: Any) -> str:
    return json.dumps(document, indent=4, ensure_ascii=False) + "\n"
