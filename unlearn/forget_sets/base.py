"""What a forget rule is: from the training table to row numbers. The constructor is the YAML."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError


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

    def control(self, train: Table, forgotten: Tensor, task: Task, seed: int) -> Tensor:
        """Another forget set of the same rule and size, from examples that are not forgotten.

        A control run makes a model forget it that never saw the forget set. Here: drawn at random,
        with as many examples of every class as the forget set has wherever there are so many.

        Args:
            train: the training table.
            forgotten: rows `(F,)` of the forget set.
            task: what is predicted.
            seed: of the draw.

        Returns:
            Rows `(F,)`, none of them in `forgotten`.

        Raises:
            UserError: there is no such set, and why.
        """
        rest = remaining(train, forgotten)
        if len(rest) <= len(forgotten):
            raise UserError(
                f"control=true: {len(forgotten)} examples are forgotten and {len(rest)} are left, "
                "too few for another forget set and a retain set; forget less"
            )
        order = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed))]
        if not task.is_classification:
            return order[: len(forgotten)]
        chosen = []
        for label, count in zip(*train.targets[forgotten].unique(return_counts=True), strict=True):
            chosen.append(order[train.targets[order] == label][:count])
        drawn = torch.cat(chosen)
        spare = order[~torch.isin(order, drawn)]
        return torch.cat([drawn, spare[: len(forgotten) - len(drawn)]])

    def select_test(self, test: Table, task: Task) -> Tensor | None:
        """Test rows `(K,)` that show what is forgotten (a class, say); None where nothing does."""
        return None

    def forget_classes(self) -> tuple[int, ...]:
        """Class ids that vanish as a whole, as class-wise methods need them; else empty."""
        return ()


def remaining(train: Table, forgotten: Tensor) -> Tensor:
    """Rows of the training table that are not in the forget set, in order."""
    keep = torch.ones(len(train), dtype=torch.bool)
    keep[forgotten] = False
    return keep.nonzero().squeeze(1)


def no_control(what: str) -> UserError:
    """Why whole classes have no control runs."""
    return UserError(
        f"control=true: {what} forgotten as a whole has no control runs. They would be models "
        "without two classes: the class that vanished before is as unknown to them as to a "
        "retrained model, but they have one class less to choose from on its images, so that even "
        "models without any memory would be told apart. Compare with retrained models instead"
    )


def check_seed(seed: int) -> None:
    """Refuse what is no seed of torch's generators."""
    if not 0 <= seed < 2**63:
        raise UserError(f"forget.seed must lie in 0..{2**63 - 1}, got {seed}")


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
