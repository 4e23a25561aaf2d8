"""The last rows of the training table: a forget set that was given as a dataset of its own."""

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.forget_sets.base import ForgetRule


class LastRowsForget(ForgetRule):
    """The last rows; of kind `class` when they are all there is of their classes, else `random`.

    Args:
        count: how many.
        targets: of the whole training table.
        task: what is predicted.
    """

    def __init__(self, count: int, targets: Tensor, task: Task):
        self.count = count
        classes = set(targets[-count:].tolist()) if task.is_classification else set()
        whole = bool(classes) and not classes & set(targets[:-count].tolist())
        self._classes = tuple(sorted(classes)) if whole and len(targets) > count else ()
        self.kind = "class" if self._classes else "random"  # type: ignore[misc]

    def select(self, train: Table, task: Task) -> Tensor:
        return torch.arange(len(train) - self.count, len(train))

    def select_test(self, test: Table, task: Task) -> Tensor | None:
        if not self._classes:
            return None
        return torch.isin(test.targets, torch.tensor(self._classes)).nonzero().squeeze(1)

    def forget_classes(self) -> tuple[int, ...]:
        return self._classes
