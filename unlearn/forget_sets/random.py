"""Examples drawn at random."""

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.forget_sets.base import ForgetRule, check_amount, check_seed, remaining, resolve_amount


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
        check_seed(seed)
        self.count, self.fraction, self.seed = count, fraction, seed

    def select(self, train: Table, task: Task) -> Tensor:
        count = resolve_amount(self.count, self.fraction, len(train))
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(self.seed))
        return order[:count]

    def control(self, train: Table, forgotten: Tensor, task: Task, seed: int) -> Tensor:
        """As many examples, drawn uniformly from the others."""
        rest = remaining(train, forgotten)
        count = resolve_amount(len(forgotten), None, len(rest))
        order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))
        return rest[order[:count]]
