"""The first rows of the training table."""

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule


class FirstRowsForget(ForgetRule):
    """The first examples in the order of the training table, as the MUFAC benchmark takes them.

    Args:
        count: how many.
    """

    kind = "first_rows"

    def __init__(self, count: int):
        self.count = count

    def select(self, train: Table, task: Task) -> Tensor:
        if not 0 < self.count < len(train):
            raise UserError(
                f"forget.count must lie between 1 and {len(train) - 1}, so that both sides keep "
                f"at least one training example; got {self.count}"
            )
        return torch.arange(self.count)
