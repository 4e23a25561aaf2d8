"""Whole classes."""

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule, no_control


class ClassForget(ForgetRule):
    """Every training example of one or more classes.

    Args:
        classes: class id, or a list of them.
    """

    kind = "class"

    def __init__(self, classes: int | list[int]):
        self.classes = [classes] if isinstance(classes, int) else list(classes)

    def _rows(self, table: Table, task: Task) -> Tensor:
        if not task.is_classification:
            raise UserError("forget=class needs a classification dataset; choose another rule")
        for number in self.classes:
            if not 0 <= number < task.num_outputs:
                raise UserError(
                    f"forget.classes: class {number} does not exist, the dataset has classes "
                    f"0..{task.num_outputs - 1}"
                )
        return torch.isin(table.targets, torch.tensor(self.classes)).nonzero().squeeze(1)

    def select(self, train: Table, task: Task) -> Tensor:
        return self._rows(train, task)

    def select_test(self, test: Table, task: Task) -> Tensor:
        return self._rows(test, task)

    def forget_classes(self) -> tuple[int, ...]:
        return tuple(self.classes)

    def control(self, train: Table, forgotten: Tensor, task: Task, seed: int) -> Tensor:
        raise no_control("a class")
