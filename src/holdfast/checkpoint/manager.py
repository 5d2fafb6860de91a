"""Checkpoints for anybody's script: one class and two functions, usable without the rest of Holdfast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from holdfast import durable, randomness
from holdfast.checkpoint import archive
from holdfast.checkpoint.fit import check_fit, check_optimizer_fit, is_beside_weights, versions_of, with_versions
from holdfast.checkpoint.parts import check_scaler_fit, with_containers_of
from holdfast.checkpoint.plain import KeyPath
from holdfast.checkpoint.retention import Keep
from holdfast.checkpoint.store import BEST, Store
from holdfast.errors import CheckpointError, CheckpointMismatch

VERSION = 1


class CheckpointManager:
    """The checkpoints of a script of your own, in one folder: saved whole, read only when whole.

    Args:
        output_dir: Where the files are; created at the first save.
        save_optimizer: Whether the optimizer's state is stored. Without it an Adam checkpoint is a third of the size,
            and a resumed training starts the optimizer anew.
        keep_last_n: How many numbered checkpoints are kept, besides the latest and the best.
    """

    def __init__(self, output_dir: str | Path, save_optimizer: bool = True, keep_last_n: int = 3) -> None:
        self._store = Store(Path(output_dir), Keep(last=keep_last_n))
        self._save_optimizer = save_optimizer
        self._has_saved = False

    def save_checkpoint(
        self,
        epoch: int,
        model: nn.Module,
        optimizer: Any = None,
        scheduler: Any = None,
        scaler: Any = None,
        metric: float | None = None,
        metrics: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        is_best: bool = False,
    ) -> Path:
        """Saves the state after `epoch` finished epochs as `checkpoint_epochN.pth` and as the latest; gives the file.

        Anything with a `state_dict` will do for optimizer, scheduler and scaler; the states of the random generators
        are stored as well.

        Raises:
            CheckpointError: For a value that is not plain, by its name.
            OSError: When the disk refuses; what stood before still stands.
        """
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise CheckpointError(
                f"`epoch` must be a whole number of finished epochs, but got {epoch!r}; use int(...)."
            )
        state = _state(
            model,
            optimizer=optimizer if self._save_optimizer else None,
            scheduler=scheduler,
            scaler=scaler,
            epoch=epoch,
            step=epoch,
            metrics=metrics,
        )
        best = self._store.best()
        best_step = epoch if is_best else (archive.read_counters(best)["step"] if best else None)
        state |= {"metric": metric, "best_step": best_step, "config": dict(config) if config is not None else None}
        state["rng_state"] = randomness.capture()
        path = self._store.save(state, number=f"epoch{epoch}", is_best=is_best)
        if not self._has_saved:
            self._has_saved = True
            self._store.tell(self._store.space(path))
        return path

    def load_checkpoint(
        self, path: str | Path, model: nn.Module, optimizer: Any = None, device: str = "cpu"
    ) -> dict[str, Any]:
        """Puts a checkpoint's weights, and the optimizer's state if both are there, back; gives the whole dictionary.

        Every byte is checked before anything is touched.

        Raises:
            DamagedCheckpoint: When a byte is not what was written; no other file is used instead.
            CheckpointMismatch: When the weights do not fit the model.
        """
        return load_checkpoint(path, model, optimizer, device=device, restore_rng_state=False)

    def close(self) -> None:
        """Lets another manager have the folder; a manager that is dropped does so by itself."""
        self._store.close()

    def latest(self) -> Path | None:
        """Gives the latest checkpoint's file; None when there is none."""
        return self._store.latest()

    def best(self) -> Path | None:
        """Gives the best checkpoint's file; None when there is none."""
        return self._store.best()


def save_checkpoint(
    model: nn.Module,
    optimizer: Any,
    epoch: int,
    step: int,
    metrics: Mapping[str, Any] | None,
    output_dir: str | Path,
    filename: str = "checkpoint.pth",
    scheduler: Any = None,
    scaler: Any = None,
    best_metric: float | None = None,
    save_rng_state: bool = True,
    is_best: bool = False,
) -> Path:
    """Saves one checkpoint, durably, in place of what had its name, and gives the file.

    With `is_best` it is `checkpoint_best.pth` as well, sharing its bytes.

    Raises:
        CheckpointError: For a value that is not plain, by its name.
        OSError: When the disk refuses; what stood before still stands.
    """
    state = _state(
        model, optimizer=optimizer, scheduler=scheduler, scaler=scaler, epoch=epoch, step=step, metrics=metrics
    )
    state["best_metric"] = best_metric
    if save_rng_state:
        state["rng_state"] = randomness.capture()
    folder = Path(output_dir)
    durable.make_folder(folder)
    durable.remove_temporary_files(folder, filename)
    with durable.replacing(folder / filename) as descriptor:
        archive.write(descriptor, state)
    if is_best:
        durable.link(folder / filename, folder / BEST)
    return folder / filename


def load_checkpoint(
    checkpoint_path: str | Path,
    model: nn.Module,
    optimizer: Any = None,
    scheduler: Any = None,
    scaler: Any = None,
    device: str = "cpu",
    restore_rng_state: bool = True,
) -> dict[str, Any]:
    """Puts back what a checkpoint holds of the given parts, and gives the whole dictionary, tensors on `device`.

    A part that is given but not in the file stays as it is. Every byte is checked before anything is touched. The
    weights and moments in the dictionary are those of the parts themselves, as in a `state_dict()`: clone them to keep
    them as they were saved.

    Raises:
        DamagedCheckpoint: When a byte is not what was written; no other file is used instead.
        CheckpointMismatch: When the weights do not fit the model.
    """
    place = _usable(device)
    target = _unwrapped(model)
    with archive.checked(checkpoint_path) as found:
        outline = found.outline()
        _check(checkpoint_path, outline, target, optimizer, scaler)
        state = found.load(_live_tensors(outline, target, optimizer).get)
    weights = with_containers_of(target.state_dict(), state["model_state_dict"])
    target.load_state_dict(with_versions(weights, state.get("model_versions")))
    parts = {"optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}
    for name, part in parts.items():
        saved = state.get(f"{name}_state_dict")
        if part is not None and saved is not None:
            part.load_state_dict(with_containers_of(part.state_dict(), saved) if part is scheduler else saved)
    if restore_rng_state and state.get("rng_state") is not None:
        randomness.restore(state["rng_state"])
    return state if place.type == "cpu" else _moved(state, place)


def _check(path: str | Path, outline: Mapping[str, Any], model: nn.Module, optimizer: Any, scaler: Any) -> None:
    """Makes sure that a checkpoint fits what it is loaded into."""
    if "model_state_dict" not in outline:
        raise CheckpointMismatch(
            f"`{path}` must hold `model_state_dict`, but got bare weights or another layout; "
            "load bare weights with torch.load(path, weights_only=True)."
        )
    check_fit(str(path), model.state_dict(), outline["model_state_dict"])
    if isinstance(optimizer, Optimizer) and outline.get("optimizer_state_dict") is not None:
        check_optimizer_fit("optimizer_state_dict", optimizer, outline["optimizer_state_dict"])
    if isinstance(scaler, GradScaler) and outline.get("scaler_state_dict") is not None:
        check_scaler_fit("scaler_state_dict", scaler, outline["scaler_state_dict"])


def _live_tensors(outline: Mapping[str, Any], model: nn.Module, optimizer: Any) -> dict[KeyPath, Tensor]:
    """Gives the weights and moments that can take the place of those in a checkpoint as they are."""
    live: dict[str, Any] = {"model_state_dict": model.state_dict()}
    if isinstance(optimizer, Optimizer) and outline.get("optimizer_state_dict") is not None:
        live["optimizer_state_dict"] = {"state": optimizer.state_dict()["state"]}
    saved = dict(_tensors(outline))
    return {path: tensor for path, tensor in _tensors(live) if path in saved and _is_alike(path, tensor, saved[path])}


def _tensors(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(item, (*path, key))


def _is_alike(path: KeyPath, live: Tensor, saved: Tensor) -> bool:
    if live.is_meta or is_lazy(live) or any(is_beside_weights(str(key)) for key in path):
        return False
    return live.dtype == saved.dtype and live.shape == saved.shape


def _usable(device: str) -> torch.device:
    place = torch.device(device)
    if place.type == "cuda" and not torch.cuda.is_available():
        raise CheckpointError(f"`device` must be there, but got {device!r} and there is no CUDA device; use 'cpu'.")
    return place


def _state(
    model: nn.Module,
    *,
    optimizer: Any,
    scheduler: Any,
    scaler: Any,
    epoch: int,
    step: int,
    metrics: Mapping[str, Any] | None,
) -> dict[str, Any]:
    weights = _unwrapped(model).state_dict()
    state: dict[str, Any] = {
        "version": VERSION,
        "stage": "train",
        "epoch": epoch,
        "step": step,
        "model_state_dict": weights,
        "model_versions": versions_of(weights),
        "metrics": dict(metrics) if metrics is not None else None,
        "timestamp": datetime.now().isoformat(timespec="seconds"),
    }
    for name, part in {"optimizer": optimizer, "scheduler": scheduler, "scaler": scaler}.items():
        if part is not None:
            state[f"{name}_state_dict"] = part.state_dict()
    return state


def _unwrapped(model: nn.Module) -> nn.Module:
    """Gives the network inside wrappers (parallel, compiled), so that the names are those of the network."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):
            model = model._orig_mod  # pyright: ignore[reportAssignmentType]
        else:
            return model


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: item if key == "rng_state" else _moved(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_moved(item, device) for item in value)
    return value
