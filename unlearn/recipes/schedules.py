"""Learning-rate schedules for recipes, stepped after every batch.

Each takes `(optimizer, total_steps, steps_per_epoch)`, as `Recipe` calls it, and YAML arguments.
"""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from unlearn.errors import UserError

# OneCycleLR moves the momentum between 0.85 and 0.95, whatever the optimizer's own is.
MIDDLE_MOMENTUM = 0.9


def check_values(optimizer: Callable[..., Any], scheduler: Callable[..., Any] | None) -> None:
    """Refuse values that are no rates, or have no effect, before anything is trained.

    Args:
        optimizer: a partial that holds the optimizer's values; others are not looked into.
        scheduler: likewise, None = constant rate.

    Raises:
        UserError: naming the value.
    """
    own, schedule = getattr(optimizer, "keywords", {}), getattr(scheduler, "keywords", {})
    # The schedule first: the optimizer may quote it.
    for where, values in (("scheduler", schedule), ("optimizer", own)):
        for key, value in values.items():
            for number in value if isinstance(value, list | tuple) else [value]:
                low = isinstance(number, int | float) and not 0 <= number < math.inf
                if low or (key in ("lr", "peak") and number == 0):
                    above = "above" if key in ("lr", "peak") else "not below"
                    raise UserError(
                        f"recipe.{where}.{key} must be finite and {above} 0, got {value}"
                    )
    if getattr(scheduler, "func", None) is one_cycle:
        _check_one_cycle(own, **schedule)


def _check_one_cycle(
    own: dict[str, Any], peak: float, warmup: float = 0.3, cycle_momentum: bool = True
) -> None:
    """What one_cycle decides, the optimizer cannot."""
    if not 0 < warmup < 1:
        raise UserError(f"recipe.scheduler.warmup must lie in (0, 1), got {warmup}")
    if own.get("lr", peak) != peak:
        raise UserError(
            f"recipe.optimizer.lr={own['lr']} has no effect: one_cycle sets the rate, up to "
            f"recipe.scheduler.peak={peak}; set that and leave the other alone"
        )
    momentum = own.get("momentum", own.get("betas", (MIDDLE_MOMENTUM,))[0])
    if cycle_momentum and momentum != MIDDLE_MOMENTUM:
        key = "momentum" if "momentum" in own else "betas"
        raise UserError(
            f"recipe.optimizer.{key}={own[key]} has no effect: one_cycle moves the momentum "
            f"between 0.85 and 0.95; leave it at {MIDDLE_MOMENTUM}, or give "
            "+recipe.scheduler.cycle_momentum=false"
        )


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    *,
    peak: float,
    warmup: float = 0.3,
    cycle_momentum: bool = True,
) -> LRScheduler:
    """Cosine up to `peak`, then cosine down to almost nothing.

    Source: L. Smith, N. Topin, Super-Convergence, 2019 (arXiv 1708.07120), torch's implementation.

    Args:
        peak: largest learning rate; the first one is a 25th of it.
        warmup: share of the steps that go up, in (0, 1).
        cycle_momentum: move the momentum between 0.85 and 0.95 against the rate.
    """
    return OneCycleLR(
        optimizer,
        max_lr=peak,
        total_steps=max(total_steps, 2),
        pct_start=warmup,
        cycle_momentum=cycle_momentum,
    )


def cosine(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    *,
    warmup_epochs: float = 0.0,
    by_epoch: bool = False,
) -> LRScheduler:
    """Linear warm-up, then half a cosine from the optimizer's rate down to zero.

    Source: I. Loshchilov, F. Hutter, SGDR, ICLR 2017 (arXiv 1608.03983), without restarts.

    Args:
        warmup_epochs: length of the warm-up; 0 = none.
        by_epoch: hold the rate within an epoch, as a schedule that is stepped once an epoch does.
    """
    warmup = warmup_epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if by_epoch:
            step -= step % steps_per_epoch
        done = min(1.0, (step - warmup) / max(1.0, total_steps - warmup))
        return 0.5 * (1 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def multistep(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    *,
    milestones: list[int],
    gamma: float = 0.1,
    warmup_epochs: float = 0.0,
) -> LRScheduler:
    """The optimizer's rate, multiplied by `gamma` when each milestone epoch begins.

    Args:
        milestones: epochs, counted from 0.
        gamma: factor at a milestone.
        warmup_epochs: length of a linear warm-up; 0 = none.
    """
    warmup = warmup_epochs * steps_per_epoch

    def factor(step: int) -> float:
        ramp = (step + 1) / (warmup + 1) if step < warmup else 1.0
        return ramp * gamma ** sum(step >= epoch * steps_per_epoch for epoch in milestones)

    return LambdaLR(optimizer, factor)


def constant(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, *, warmup_epochs: float = 0.0
) -> LRScheduler:
    """The optimizer's rate after a linear warm-up.

    Args:
        warmup_epochs: length of the warm-up; 0 = none.
    """
    return multistep(
        optimizer, total_steps, steps_per_epoch, milestones=[], warmup_epochs=warmup_epochs
    )
