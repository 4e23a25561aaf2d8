"""Forget rules: from the training table to sorted row numbers. The constructor is the YAML."""

from abc import ABC, abstractmethod
from collections import Counter
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


def check_amount(count: int | None, fraction: float | None) -> None:
    """Refuse anything but exactly one of a positive count and a fraction in (0, 1)."""
    if (count is None) == (fraction is None):
        raise UserError(
            "forget: give exactly one of forget.count and forget.fraction, null for the other"
        )
    if fraction is not None and not 0 < fraction < 1:
        raise UserError(f"forget.fraction must lie strictly between 0 and 1, got {fraction}")
    if count is not None and count < 1:
        raise UserError(f"forget.count must be at least 1, got {count}")


def resolve_amount(count: int | None, fraction: float | None, total: int) -> int:
    """Number of examples out of `total`; a fraction is rounded half up.

    Raises:
        UserError: nothing would be forgotten, or nothing retained.
    """
    if count is None:
        assert fraction is not None
        count = int(fraction * total + 0.5)
    if not 0 < count < total:
        raise UserError(
            f"forget: {count} of {total} training examples would be forgotten; choose "
            "forget.count or forget.fraction so that both sides keep at least one"
        )
    return count


class RandomForget(ForgetRule):
    """Examples drawn uniformly without replacement.

    Args:
        count: how many; give either this or `fraction`.
        fraction: share of the training set in (0, 1), rounded half up.
        seed: of the draw.
    """

    kind = "random"

    def __init__(self, count: int | None = None, fraction: float | None = None, seed: int = 0):
        check_amount(count, fraction)
        self.count, self.fraction, self.seed = count, fraction, seed

    def select(self, train: Table, task: Task) -> Tensor:
        count = resolve_amount(self.count, self.fraction, len(train))
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


class GroupForget(ForgetRule):
    """Whole households or identities, so that nobody is both forgotten and retained.

    Groups are taken in a seeded order; one that would exceed `count` is passed over.

    Args:
        count: forget at most so many images; give either this or `fraction`.
        fraction: the same as a share of the training set in (0, 1).
        seed: of the order.
    """

    kind = "group"

    def __init__(self, count: int | None = None, fraction: float | None = None, seed: int = 0):
        check_amount(count, fraction)
        self.count, self.fraction, self.seed = count, fraction, seed

    def select(self, train: Table, task: Task) -> Tensor:
        if train.group is None:
            raise UserError(
                "forget: this dataset knows no households or identities; use another rule, such "
                "as forget=random"
            )
        groups, sizes = train.group.unique(return_counts=True)
        order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(self.seed))
        limit = resolve_amount(self.count, self.fraction, len(train))
        chosen, room = [], limit
        for group, size in zip(groups[order].tolist(), sizes[order].tolist(), strict=True):
            if size <= room:
                chosen.append(group)
                room -= size
        if not chosen:
            raise UserError(
                f"forget: {limit} images were asked for, and the smallest household or identity "
                f"has {int(sizes.min())}; raise forget.count or forget.fraction"
            )
        return torch.isin(train.group, torch.tensor(chosen)).nonzero().squeeze(1)


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


class IndicesForget(ForgetRule):
    """Row numbers read from a text file, one a line.

    Args:
        file: path of the file.
    """

    kind = "indices"

    def __init__(self, file: str | None):
        if file is None:
            raise UserError("forget.file is missing: give forget.file=ROWS.txt, one row a line")
        self.file = file

    def select(self, train: Table, task: Task) -> Tensor:
        path = Path(self.file)
        if not path.is_file():
            raise UserError(f"forget.file: no such file {self.file!r}")
        rows = []
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            raise UserError(f"forget.file: {self.file!r} is not a text file") from None
        for number, line in enumerate(lines, start=1):
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
        repeated = sorted(row for row, times in Counter(rows).items() if times > 1)
        if repeated:
            raise UserError(f"{path.name}: row {repeated[0]} is listed more than once")
        if not rows:
            raise UserError(f"{path.name}: no row numbers in it; list one a line")
        return torch.tensor(rows)
