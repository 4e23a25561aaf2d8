"""Whole households or identities."""

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule, check_amount, resolve_amount


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
