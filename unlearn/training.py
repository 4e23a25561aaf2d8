"""Ordinary training of reference models, through the same loop as the methods."""

from typing import Any

from torch import Tensor

from unlearn.errors import UserError
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.recipe import Recipe


def recipe_phase(recipe: Recipe | None, data: str) -> Phase:
    """The phase that trains a network by the recipe on `data` (`mixed` or `retain`)."""
    if recipe is None:
        raise UserError("this problem has no recipe, so no model can be trained from scratch")
    return Phase(
        name="train",
        data=data,
        epochs=recipe.epochs,
        optimizer=recipe.optimizer,
        scheduler=recipe.scheduler,
        batch_size=recipe.batch_size,
        augment=recipe.augment,
        gradient_clip=recipe.gradient_clip,
    )


class ReferenceTraining(UnlearningMethod):
    """Trains the network it is given on one split by the problem's recipe.

    Args:
        data: `mixed` for original models (retain and forget set), `retain` for retrained ones.
    """

    stacks = True

    def __init__(self, data: str):
        super().__init__()
        self.training_data = data

    def phases(self) -> list[Phase]:
        return [recipe_phase(self.data.recipe, self.training_data)]

    def loss(self, batch: Any) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
