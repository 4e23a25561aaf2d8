"""How original and retrained models are trained."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unlearn.data.loaders import LastBatch
from unlearn.errors import UserError
from unlearn.recipes.schedules import check_values

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
        batch_size: examples a step, at most.
        optimizer: from parameters to optimizer (a partial in YAML).
        scheduler: from (optimizer, total steps, steps an epoch) to a per-step schedule; None =
            constant rate.
        augment: batched augmentations applied in order to stored pixels; empty = none.
        gradient_clip: largest gradient norm, None = no clipping.
        last_batch: what becomes of examples that fill no batch. `spread` over all of them is the
            default, also for published recipes: their loaders `keep` a short last batch, which
            changes nothing where epochs are long (50,000 images in batches of 128: 391 steps of
            128 or 127 instead of 390 and one of 80) and costs up to 19 points of test accuracy
            where 897 images leave a batch of one (benchmarks/README.md). `drop` leaves up to a
            batch of every epoch out, half of a small retain set at worst.
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
        last_batch: LastBatch = "spread",
        version: int = 2,
    ):
        if epochs < 1:
            raise UserError(f"recipe.epochs must be at least 1, got {epochs}")
        if batch_size < 1:
            raise UserError(f"recipe.batch_size must be at least 1, got {batch_size}")
        if gradient_clip is not None and not 0 < gradient_clip < math.inf:
            raise UserError(
                f"recipe.gradient_clip must be finite and above 0, or null; got {gradient_clip}"
            )
        check_values(optimizer, scheduler)
        self.epochs, self.batch_size = epochs, batch_size
        self._optimizer, self.scheduler = optimizer, scheduler
        self.augment = Augmentations(tuple(augment)) if augment else None
        self.gradient_clip = gradient_clip
        self.last_batch: LastBatch = last_batch
        self.version = version

    def optimizer(self, parameters: Iterable[Any]) -> Optimizer:
        """A new optimizer.

        Raises:
            UserError: the optimizer refuses its values.
        """
        try:
            return self._optimizer(parameters)
        except (TypeError, ValueError) as error:
            raise UserError(f"recipe.optimizer: {error}") from error

    def check_images(self, images: Tensor) -> None:
        """Try the augmentation on stored pixels `(B, C, H, W)`, before anything is trained.

        Raises:
            UserError: it does not fit them.
        """
        if self.augment is not None:
            self.augment(images, torch.Generator(images.device).manual_seed(0))
