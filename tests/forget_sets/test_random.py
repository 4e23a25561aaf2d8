"""Random rows: how many, which, and what is refused."""

import pytest
import torch
from support.tables import TEN, assert_refused_in_one_line, balanced, table

from unlearn.forget_sets.random import RandomForget


def test_fraction_of_jit_is_83_of_50000():
    rows = RandomForget(fraction=0.00165).select(table(balanced(10, 5000)), TEN)
    assert len(rows) == len(rows.unique()) == 83


def test_random_draws_are_seeded_and_uniform():
    train = table(balanced(10, 100))
    draws = [RandomForget(count=100, seed=seed).select(train, TEN) for seed in range(200)]
    assert torch.equal(draws[0], RandomForget(count=100, seed=0).select(train, TEN))
    times = torch.cat(draws).bincount(minlength=1000).float()
    # Every row: 200 draws with probability 0.1.
    assert abs(times.mean() - 20) < 1e-6 and 3.2 < times.std() < 5.2


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: RandomForget(fraction=0.0), "strictly between 0 and 1, got 0.0"),
        (lambda: RandomForget(fraction=1), "strictly between 0 and 1"),
        (lambda: RandomForget(count=0), "at least 1"),
        (lambda: RandomForget(), "exactly one of"),
        (lambda: RandomForget(count=1, fraction=0.5), "exactly one of"),
        (lambda: RandomForget(count=50).select(table(balanced(10, 5)), TEN), "50 of 50"),
        (lambda: RandomForget(fraction=1e-4).select(table(balanced(10, 5)), TEN), "0 of 50"),
    ],
)
def test_refusals(rule, message):
    assert_refused_in_one_line(rule, message)
