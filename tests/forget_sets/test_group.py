"""Whole households and identities."""

import pytest
import torch
from support.tables import TEN, YEARS, assert_refused_in_one_line, table

from unlearn.forget_sets.group import GroupForget


def test_households_of_mufac_stay_whole_up_to_200_images():
    # 299 households of 33 or 34 images, as in the benchmark's 10,025.
    household = (torch.arange(10025) * 299) // 10025
    train = table(torch.zeros(10025, dtype=torch.int64), group=household)
    chosen = {}
    for seed in range(5):
        rows = GroupForget(count=200, seed=seed).select(train, TEN)
        assert 200 - 34 < len(rows) <= 200
        mask = torch.zeros(10025, dtype=torch.bool)
        mask[rows] = True
        assert not set(household[mask].tolist()) & set(household[~mask].tolist())
        chosen[seed] = rows
    assert torch.equal(chosen[0], GroupForget(count=200, seed=0).select(train, TEN))
    assert not torch.equal(chosen[0], chosen[1])


def test_groups_that_do_not_fit_are_passed_over():
    group = torch.tensor([0] * 50 + [1] * 3 + [2] * 4 + [3] * 43)
    for seed in range(10):
        rows = GroupForget(fraction=0.08, seed=seed).select(table(group * 0, group=group), YEARS)
        assert set(group[rows].tolist()) == {1, 2}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: GroupForget(count=1).select(table([1, 2]), TEN), "no households or identities"),
        (
            lambda: GroupForget(count=1).select(table([1] * 6, group=torch.arange(6) // 2), TEN),
            "the smallest household or identity has 2",
        ),
    ],
)
def test_refusals(rule, message):
    assert_refused_in_one_line(rule, message)
