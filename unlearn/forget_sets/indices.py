"""Rows listed in a file."""

from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule


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
