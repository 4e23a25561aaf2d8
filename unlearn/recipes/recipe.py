"""How original and retrained models are trained."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unlearn.errors import UserError

OptimizerFactory = Callable[[Iterable[Any]], Optimizer]
# (optimizer, number of steps of the phase, steps an epoch) -> schedule stepped after every batch
SchedulerFactory = Callable[[Optimizer, int, int], LRScheduler]


@dataclass(frozen=True)
class Augmentations:
    """A chain of batched augmentations, each drawing per sample from the given generator."""

    steps: tuple[Callable[[Tensor, torch.Generator], Tensor], ...]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        for step in self.steps:
            images = step(images, generator)
        return images


class Recipe:
    """Optimizer, schedule, epochs, batch size and augmentation of a reference model.

    Args:
        epochs: passes over the training data.
        batch_size: examples a step.
        optimizer: from parameters to optimizer (a partial in YAML).
        scheduler: from (optimizer, total steps, steps an epoch) to a per-step schedule; None =
            constant rate.
        augment: batched augmentations applied in order to stored pixels; empty = none.
        gradient_clip: largest gradient norm, None = no clipping.
        version: raise it when a change of the code changes what the recipe trains.
    """

    def __init__(
        self,
        *,
        epochs: int,
        batch_size: int,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
        augment: Sequence[Callable[[Tensor, torch.Generator], Tensor]] = (),
        gradient_clip: float | None = None,
        version: int = 1,
    ):
        if epochs < 1:
            raise UserError(f"recipe.epochs must be at least 1, got {epochs}")
        if batch_size < 1:
            raise UserError(f"recipe.batch_size must be at least 1, got {batch_size}")
        self.epochs, self.batch_size = epochs, batch_size
        self.optimizer, self.scheduler = optimizer, scheduler
        self.augment = Augmentations(tuple(augment)) if augment else None
        self.gradient_clip = gradient_clip
        self.version = version
