"""Tables without pictures, for tests of forget rules."""

from collections.abc import Callable

import pytest
import torch

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError

TEN = Task("classification", 10)
YEARS = Task("regression", 1, "l1")


def table(targets, **columns) -> Table:
    targets = torch.as_tensor(targets)
    return Table(torch.zeros(len(targets), 1, 1, 1, dtype=torch.uint8), targets, **columns)


def balanced(classes: int, each: int) -> torch.Tensor:
    return torch.arange(classes * each) % classes


def assert_refused_in_one_line(rule: Callable[[], object], message: str) -> None:
    """Making or applying the rule is a user's mistake that the message names."""
    with pytest.raises(UserError, match=message) as caught:
        rule()
    assert "\n" not in str(caught.value)
