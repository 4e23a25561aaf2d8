"""The first rows."""

import pytest
from support.tables import TEN, assert_refused_in_one_line, balanced, table

from unlearn.data.task import Task
from unlearn.forget_sets.first_rows import FirstRowsForget


def test_first_rows_of_the_mufac_benchmark():
    rows = FirstRowsForget(1500).select(table(balanced(8, 1254)[:10025]), Task("classification", 8))
    assert rows.tolist() == list(range(1500))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: FirstRowsForget(2).select(table([1, 2]), TEN), "between 1 and 1"),
    ],
)
def test_refusals(rule, message):
    assert_refused_in_one_line(rule, message)
