"""Forget rules: from the training table to sorted row numbers. The constructor is the YAML."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from unlearn.datasets.base import Table
from unlearn.errors import UserError
from unlearn.task import Task


class ForgetRule(ABC):
    """Chooses the training examples that must be forgotten.

    Attributes:
        kind: what kind of forget set it makes; methods may support only some kinds.
    """

    kind: ClassVar[str]

    @abstractmethod
    def select(self, train: Table, task: Task) -> Tensor:
        """Row numbers `(F,)` of the training table, in any order.

        Raises:
            UserError: the rule does not fit the table.
        """

    def select_test(self, test: Table, task: Task) -> Tensor | None:
        """Test rows `(K,)` that show what is forgotten (a class, say); None where nothing does."""
        return None

    def forget_classes(self) -> tuple[int, ...]:
        """Class ids that vanish as a whole, as class-wise methods need them; else empty."""
        return ()


class RandomForget(ForgetRule):
    """Examples drawn uniformly without replacement.

    Args:
        count: how many; give either this or `fraction`.
        fraction: share of the training set in (0, 1), rounded half up.
        seed: of the draw.
    """

    kind = "random"

    def __init__(self, count: int | None = None, fraction: float | None = None, seed: int = 0):
        if (count is None) == (fraction is None):
            raise UserError("forget: give exactly one of forget.count and forget.fraction")
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(f"forget.fraction must lie strictly between 0 and 1, got {fraction}")
        if count is not None and count < 1:
            raise UserError(f"forget.count must be at least 1, got {count}")
        self.count, self.fraction, self.seed = count, fraction, seed

    def select(self, train: Table, task: Task) -> Tensor:
        count = self.count
        if count is None:
            assert self.fraction is not None
            count = int(self.fraction * len(train) + 0.5)
        if not 0 < count < len(train):
            raise UserError(
                f"forget: {count} of {len(train)} training examples would be forgotten; choose "
                "forget.count or forget.fraction so that both sides keep at least one"
            )
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(self.seed))
        return order[:count]


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


class IndicesForget(ForgetRule):
    """Row numbers read from a text file, one a line.

    Args:
        file: path of the file.
    """

    kind = "indices"

    def __init__(self, file: str):
        self.file = file

    def select(self, train: Table, task: Task) -> Tensor:
        path = Path(self.file)
        if not path.is_file():
            raise UserError(f"forget.file: no such file {self.file!r}")
        rows = []
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if not line.strip():
                continue
            try:
                rows.append(int(line))
            except ValueError:
                raise UserError(
                    f"{path.name}, line {number}: {line.strip()!r} is not a row number"
                ) from None
            if not 0 <= rows[-1] < len(train):
                raise UserError(
                    f"{path.name}, line {number}: row {rows[-1]} is out of range, the training set "
                    f"has rows 0..{len(train) - 1}"
                )
        repeated = sorted({row for row in rows if rows.count(row) > 1}) if rows else []
        if repeated:
            raise UserError(f"{path.name}: row {repeated[0]} is listed more than once")
        if not rows:
            raise UserError(f"{path.name}: no row numbers in it; list one a line")
        return torch.tensor(rows)
