"""Ordinary training of reference models, through the same loop as the methods."""

from typing import Any

from torch import Tensor

from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.methods.parts.recipe_phase import recipe_phase


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
