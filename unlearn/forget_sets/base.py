"""What a forget rule is: from the training table to row numbers. The constructor is the YAML."""

from abc import ABC, abstractmethod
from typing import ClassVar

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
