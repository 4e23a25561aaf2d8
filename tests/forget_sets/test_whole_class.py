"""Whole classes."""

import pytest
from support.tables import TEN, YEARS, assert_refused_in_one_line, balanced, table

from unlearn.data.task import Task
from unlearn.forget_sets.whole_class import ClassForget


def test_a_class_of_cifar100_is_500_and_100_images():
    task, rule = Task("classification", 100), ClassForget(69)
    assert len(rule.select(table(balanced(100, 500)), task)) == 500
    assert len(rule.select_test(table(balanced(100, 100)), task)) == 100


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: ClassForget(10).select(table(balanced(10, 5)), TEN), "class 10 does not exist"),
        (lambda: ClassForget(-1).select(table(balanced(10, 5)), TEN), "class -1 does not exist"),
        (lambda: ClassForget(1).select(table([1.0, 2.0]), YEARS), "classification dataset"),
    ],
)
def test_refusals(rule, message):
    assert_refused_in_one_line(rule, message)
