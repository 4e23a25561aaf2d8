"""Fine classes inside a superclass."""

import pytest
import torch
from support.tables import TEN, assert_refused_in_one_line, balanced, table

from unlearn.data.task import Task
from unlearn.datasets.cifar import superclass_of
from unlearn.forget_sets.subclass import SubclassForget
from unlearn.forget_sets.whole_class import ClassForget


def test_a_superclass_is_2500_images_and_a_subclass_of_it_500():
    fine = balanced(100, 500)
    train = table(superclass_of()[fine], fine=fine)
    task = Task("classification", 20)
    whole, part = ClassForget(19), SubclassForget(69)
    assert len(whole.select(train, task)) == 2500
    rows = part.select(train, task)
    assert len(rows) == 500 and set(train.targets[rows].tolist()) == {19}
    assert set(rows.tolist()) < set(whole.select(train, task).tolist())
    assert whole.forget_classes() == (19,) and part.forget_classes() == ()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: SubclassForget(1).select(table([1, 2]), TEN), "cifar20"),
        (
            lambda: SubclassForget(7).select(table([1, 2], fine=torch.tensor([1, 2])), TEN),
            r"fine class 7 does not exist, the dataset has fine classes 1\.\.2",
        ),
    ],
)
def test_refusals(rule, message):
    assert_refused_in_one_line(rule, message)
