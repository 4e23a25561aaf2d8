"""Fine classes inside a model of coarser ones."""

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule, no_control


class SubclassForget(ForgetRule):
    """Every training example of a fine class, inside a model of coarser classes.

    Args:
        classes: fine class id, or a list of them.
    """

    kind = "subclass"

    def __init__(self, classes: int | list[int]):
        self.classes = [classes] if isinstance(classes, int) else list(classes)

    def _rows(self, table: Table) -> Tensor:
        if table.fine is None:
            raise UserError(
                "forget=subclass needs a dataset with finer classes below its labels, such as "
                "dataset=cifar20; this one has none"
            )
        return torch.isin(table.fine, torch.tensor(self.classes)).nonzero().squeeze(1)

    def select(self, train: Table, task: Task) -> Tensor:
        rows = self._rows(train)
        assert train.fine is not None
        for number in self.classes:
            if not (train.fine == number).any():
                raise UserError(
                    f"forget.classes: fine class {number} does not exist, the dataset has fine "
                    f"classes {int(train.fine.min())}..{int(train.fine.max())}"
                )
        return rows

    def select_test(self, test: Table, task: Task) -> Tensor:
        return self._rows(test)

    def control(self, train: Table, forgotten: Tensor, task: Task, seed: int) -> Tensor:
        raise no_control("a fine class")
