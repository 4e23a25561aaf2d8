"""Whole households or identities."""

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule, check_amount, check_seed, remaining, resolve_amount


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
        check_seed(seed)
        self.count, self.fraction, self.seed = count, fraction, seed

    def select(self, train: Table, task: Task) -> Tensor:
        limit = resolve_amount(self.count, self.fraction, len(train))
        return self._taken(train, torch.arange(len(train)), limit, self.seed)

    def control(self, train: Table, forgotten: Tensor, task: Task, seed: int) -> Tensor:
        """Whole groups of the others, in an order of their own, up to as many examples."""
        rest = remaining(train, forgotten)
        count = resolve_amount(len(forgotten), None, len(rest))
        return self._taken(train, rest, count, seed)

    def _taken(self, train: Table, rows: Tensor, limit: int, seed: int) -> Tensor:
        """Whole groups among `rows`, in a seeded order, up to `limit` examples."""
        if train.group is None:
            raise UserError(
                "forget: this dataset knows no households or identities; use another rule, such "
                "as forget=random"
            )
        groups, sizes = train.group[rows].unique(return_counts=True)
        order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
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
        return rows[torch.isin(train.group[rows], torch.tensor(chosen))]
