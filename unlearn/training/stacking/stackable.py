"""When members of a bank may share their training steps."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RAdam, RMSprop

from unlearn.methods.base import UnlearningMethod

# What a method may override beside `on_*` to act on its steps.
STEPPING = (
    "training_step",
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "lr_scheduler_step",
    "configure_optimizers",
    "configure_gradient_clipping",
    "optimizer_of",
    "train_dataloader",
)
# The one hook that is honoured here: it sees the gradients of its own member.
HONOURED = "on_before_optimizer_step"
# Optimizers that treat every entry on its own, so that members cannot disturb each other, and
# whose step is proportional to the learning rate.
ELEMENTWISE = (SGD, Adam, AdamW, NAdam, RAdam, RMSprop, Adagrad)


class NotStackable(Exception):
    """These members cannot share their steps, and why; they can still run one after another."""


def check_stacks(method: UnlearningMethod) -> None:
    """Refuse methods that act on a step in a way that stacked members do not offer.

    Raises:
        NotStackable: naming the reason.
    """
    kind = type(method)
    if not kind.stacks:
        raise NotStackable(f"{kind.__name__} does not declare `stacks`")
    hooks = [name for name in dir(UnlearningMethod) if name.startswith("on_")]
    for name in (*hooks, *STEPPING):
        if name != HONOURED and getattr(kind, name) is not getattr(UnlearningMethod, name):
            raise NotStackable(f"{kind.__name__} overrides {name}")


def check_elementwise(optimizer: Optimizer) -> None:
    """Refuse optimizers that mix the entries of a tensor (norms, second order).

    Raises:
        NotStackable: naming the optimizer.
    """
    if type(optimizer) not in ELEMENTWISE:
        raise NotStackable(f"{type(optimizer).__name__} is not known to work entry by entry")


def phase_shape(method: UnlearningMethod) -> tuple[Any, ...]:
    """What of a phase all members must share."""
    phase = method.phase
    return (
        phase.name,
        phase.epochs,
        phase.batch_size,
        phase.mode,
        phase.gradient_clip,
        method.phase_loader.sizes,
    )


def parameter_groups(method: UnlearningMethod) -> list[tuple[list[str], dict[str, Any]]]:
    """Names of the parameters of every optimizer group, and the group's own options."""
    names = {id(parameter): name for name, parameter in method.named_parameters()}
    given: Iterable[Any] = (
        method.net.parameters() if method.phase.parameters is None else method.phase.parameters
    )
    listed = list(given)
    if not isinstance(listed[0], dict):
        listed = [{"params": listed}]
    groups = []
    for group in listed:
        members = [group["params"]] if isinstance(group["params"], Tensor) else group["params"]
        try:
            found = [names[id(parameter)] for parameter in members]
        except KeyError as error:
            raise NotStackable("the optimizer gets tensors from outside the method") from error
        groups.append((found, {key: v for key, v in group.items() if key != "params"}))
    return groups


Groups = list[tuple[list[str], dict[str, Any]]]


def relative_rates(members: Sequence[Groups]) -> list[list[float]]:
    """Learning rates of the members relative to the first one's, `[group][member]`.

    Raises:
        NotStackable: groups differ in anything but the rate.
    """
    first = members[0]
    for other in members[1:]:
        if [names for names, _ in first] != [names for names, _ in other]:
            raise NotStackable("the members' parameter groups differ")
        for (_, mine), (_, its) in zip(first, other, strict=True):
            if {**mine, "lr": None} != {**its, "lr": None} or ("lr" in mine) != ("lr" in its):
                raise NotStackable("the members' parameter groups differ")
    rates = [[groups[i][1].get("lr", 1.0) for groups in members] for i in range(len(first))]
    if any(not group[0] and any(group) for group in rates):
        raise NotStackable("the first member's learning rate is 0 and another's is not")
    return [[rate / (group[0] or 1.0) for rate in group] for group in rates]
