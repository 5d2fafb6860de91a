"""What a loop of one's own keeps in its checkpoints: named things with a `state_dict`, restored part by part."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from torch import nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from holdfast.checkpoint import archive
from holdfast.checkpoint.fit import (
    check_fit,
    check_optimizer_fit,
    is_beside_weights,
    versions_of,
    with_versions,
)
from holdfast.checkpoint.parts import check_scaler_fit, with_containers_of
from holdfast.errors import CheckpointError, CheckpointMismatch, UserError

SUFFIX = "_state_dict"


class Tracked:
    """The tracked parts of a program, by name."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}

    def add(self, name: str, part: Any) -> None:
        """Takes a part in.

        Raises:
            UserError: When the part has no state to give, or the name is taken.
        """
        if not callable(getattr(part, "state_dict", None)) or not callable(getattr(part, "load_state_dict", None)):
            raise UserError(
                f"`{name}` must have `state_dict` and `load_state_dict` to be tracked, but got {type(part).__name__}; "
                "give it these two methods, or keep it out of run.track."
            )
        if name in self.parts:
            raise UserError(f"`{name}` must be tracked once, but got it again; give the second one another name.")
        self.parts[name] = part

    def state_dicts(self) -> dict[str, Any]:
        """Gives the state of every part, each under the name that it has in a checkpoint."""
        return {name + SUFFIX: part.state_dict() for name, part in self.parts.items()}

    def versions(self) -> dict[str, dict[str, int]]:
        """Gives, for every network, the versions that its modules note beside their weights."""
        networks = {name: part for name, part in self.parts.items() if isinstance(part, nn.Module)}
        return {name: versions_of(network.state_dict()) for name, network in networks.items()}

    def kinds(self) -> dict[str, str]:
        """Gives the class of every part."""
        return {name: type(part).__name__ for name, part in self.parts.items()}

    def model(self) -> nn.Module:
        """Gives the first network among the parts; an empty one when there is none."""
        return next((part for part in self.parts.values() if isinstance(part, nn.Module)), nn.Module())

    def beside_model(self) -> dict[str, Any]:
        """Gives all parts but that network."""
        model = self.model()
        return {name: part for name, part in self.parts.items() if part is not model}

    def rate(self) -> float:
        """Gives the rate of the first optimizer among the parts; 0 when there is none."""
        optimizers = (part for part in self.parts.values() if isinstance(part, Optimizer))
        return next((float(one.param_groups[0]["lr"]) for one in optimizers), 0.0)

    def restore(self, name: str, state: Mapping[str, Any]) -> None:
        """Puts one part back as a checkpoint has it.

        Raises:
            CheckpointMismatch: When the part is not in the checkpoint, or does not fit.
        """
        part, kinds = self.parts[name], state["metadata"]["tracked"]
        if name not in kinds:
            raise CheckpointMismatch(
                f"`{name}` must be in the checkpoint, but it holds {', '.join(kinds) or 'nothing'}; "
                "track what the run was begun with, or begin a new run."
            )
        kind = type(part).__name__
        if isinstance(part, Optimizer | LRScheduler) and kind != kinds[name]:
            raise CheckpointMismatch(
                f"`{name}` must be a {kinds[name]} as in the checkpoint, but got {kind}; begin a new run for that."
            )
        saved: Any = state[name + SUFFIX]
        if isinstance(part, nn.Module):
            check_fit(name + SUFFIX, part.state_dict(), saved)
            own = {key: deepcopy(value) if is_beside_weights(key) else value for key, value in saved.items()}
            versions = state["metadata"].get("versions", {}).get(name)
            saved = with_versions(with_containers_of(part.state_dict(), own), versions)
        elif isinstance(part, Optimizer):
            check_optimizer_fit(name + SUFFIX, part, saved)
        else:
            if isinstance(part, GradScaler):
                check_scaler_fit(name + SUFFIX, part, saved)
            # A copy, for a part may keep what it is given and go on changing it, and it is restored twice.
            saved = with_containers_of(part.state_dict(), deepcopy(saved))
        try:
            part.load_state_dict(saved)
        except Exception as error:
            raise CheckpointMismatch(
                f"`{name}` must take its state from the checkpoint, but {kind} raised {type(error).__name__}: {error}; "
                "track what the run was begun with."
            ) from error

    def restore_all(self, state: Mapping[str, Any]) -> None:
        """Puts every part back as a checkpoint has it."""
        for name in self.parts:
            self.restore(name, state)

    def check_complete(self, state: Mapping[str, Any]) -> None:
        """Makes sure that nothing in a checkpoint is left over.

        Raises:
            CheckpointMismatch: Naming the part that the checkpoint holds and nobody tracks.
        """
        for name in state["metadata"]["tracked"]:
            if name not in self.parts:
                raise CheckpointMismatch(
                    f"`{name}` must be tracked, for the checkpoint holds it, but got only "
                    f"{', '.join(self.parts) or 'nothing'}; track what the run was begun with, or begin a new run."
                )

    def check_plain(self) -> None:
        """Makes sure, before the first step, that the states can be saved.

        Raises:
            UserError: When a state holds anything but plain values and tensors.
        """
        for name, part in self.parts.items():
            check_plain(f"`{name}`", {name + SUFFIX: part.state_dict()})


def check_plain(what: str, state: Mapping[str, Any]) -> None:
    """Makes sure that a state can be saved.

    Raises:
        UserError: When it holds anything but plain values and tensors.
    """
    try:
        archive.plan(state)
    except CheckpointError as error:
        raise UserError(f"{what} must have a state of plain values and tensors: {error}") from error
