"""The state of somebody else's optimizer, for an optimizer over the same parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from holdfast.checkpoint.layouts.groups import as_one_group
from holdfast.checkpoint.layouts.layout import WEIGHTS, Translated
from holdfast.engine.update import Learner
from holdfast.errors import UserError

_KEPT_BY: tuple[tuple[type[Optimizer], frozenset[str]], ...] = (
    (SGD, frozenset({"momentum_buffer"})),
    (AdamW, frozenset({"exp_avg", "exp_avg_sq"})),
    (Adam, frozenset({"exp_avg", "exp_avg_sq"})),
)
"""What each kind keeps for a parameter."""
_SHAPED = sorted({name for _, names in _KEPT_BY for name in names})


def fitting_moments(found: Translated, learner: Learner, state: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a saved optimizer state with its moments in the order of this run's parameters.

    An optimizer numbers its parameters, and one over all of a network's numbers them as the network has them: in the
    order of the weights in the file, or in this run's where the file has them in no order of its own.

    Args:
        found: The file.
        learner: What goes on.
        state: The optimizer state in the file.

    Raises:
        UserError: When it is of another kind of optimizer, or nothing says which moments belong to which parameter.
    """
    where = f"`optimizer_state_dict` of {found.path} ({found.layout})"
    groups: Any = state.get("param_groups")
    if not _is_whole(state.get("state"), groups):
        raise UserError(f"{where} must be that of an optimizer of PyTorch, but is not; begin with --init-from instead.")
    _refuse_another_kind(where, learner.optimizer, state["state"])
    trained = {name: one.detach() for name, one in learner.model.named_parameters() if one.requires_grad}
    in_file = [name for name in found.state[WEIGHTS] if name in trained]
    order = in_file if found.in_order and len(in_file) == len(trained) else list(trained)
    ordered = {name: trained[name] for name in order}
    one_group = state if len(groups) == 1 else _merged(state, ordered)
    if one_group is None:
        raise UserError(
            f"{where} must tell which moments belong to which of the {len(trained)} parameters, but it has groups of "
            f"{[len(group['params']) for group in groups]}; begin a new run with the weights alone, by --init-from."
        )
    # What does not fit that order is of another network: the comparison of its shapes says so better.
    return _renumbered(one_group, ordered, list(trained)) or dict(one_group)


def _merged(state: Mapping[str, Any], ordered: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Gives weights that are decayed and weights that are not as one group; None for any other division."""
    groups = [{key: value for key, value in group.items() if key != "weight_decay"} for group in state["param_groups"]]
    decays = [group.get("weight_decay") for group in state["param_groups"]]
    if len(groups) != 2 or decays[1] not in (0, decays[0]):
        return None
    return as_one_group({**state, "param_groups": groups}, ordered)


def _renumbered(state: Mapping[str, Any], ordered: Mapping[str, Tensor], ours: list[str]) -> dict[str, Any] | None:
    """Gives a state of one group, numbered in one order, numbered in ours; None where it does not fit that order."""
    (group,) = state["param_groups"]
    if len(group["params"]) != len(ordered):
        return None
    number_of = dict(zip(ordered, group["params"], strict=True))
    kept = {at: state["state"][number_of[name]] for at, name in enumerate(ours) if number_of[name] in state["state"]}
    for at, moments in kept.items():
        shapes = [moments[name].shape for name in _SHAPED if moments.get(name) is not None]
        if any(shape != ordered[ours[at]].shape for shape in shapes):
            return None
    return {"state": kept, "param_groups": [{**group, "params": list(range(len(ours)))}]}


def keeps_moments(optimizer: Optimizer) -> bool:
    """Says whether an optimizer that has made a step keeps anything for its parameters."""
    return not isinstance(optimizer, SGD) or optimizer.defaults["momentum"] != 0


def _is_whole(moments: Any, groups: Any) -> bool:
    """Whether this is what PyTorch's optimizers give: groups that number the parameters, and moments by number."""
    if not isinstance(moments, Mapping) or not isinstance(groups, list) or not groups:
        return False
    if not all(isinstance(group, Mapping) and isinstance(group.get("params"), list) for group in groups):
        return False
    numbers = {number for group in groups for number in group["params"] if isinstance(number, int)}
    return len(numbers) == sum(len(group["params"]) for group in groups) and all(
        number in numbers
        and isinstance(kept, Mapping)
        and all(isinstance(kept.get(name), Tensor | None) for name in _SHAPED)
        for number, kept in moments.items()
    )


def _refuse_another_kind(where: str, optimizer: Optimizer, moments: Mapping[Any, Any]) -> None:
    """Refuses the state of another kind of optimizer, which would fail at the first step or be forgotten."""
    kept = {name for one in moments.values() if isinstance(one, Mapping) for name in one} - {"step"}
    wanted = next((wanted for kind, wanted in _KEPT_BY if isinstance(optimizer, kind)), frozenset[str]())
    if kept and not wanted <= kept:
        kind = type(optimizer).__name__.lower()
        raise UserError(
            f"{where} must be of the kind that `training.optimizer` names, but {kind} keeps "
            f"{', '.join(sorted(wanted))}, and got {', '.join(sorted(kept))}; choose the kind that it was trained "
            "with, or begin a new run with --init-from."
        )
