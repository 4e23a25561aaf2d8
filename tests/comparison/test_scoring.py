"""Numbers of populations, with intervals."""

import pytest
from support.answers import bank
from support.compose import compose_job

from unlearn.comparison.scoring import Resampling, population_numbers
from unlearn.evals.u_lira import ULiRA
from unlearn.programs.composing import problem_of


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    return problem_of(compose_job("logger=none", home=tmp_path_factory.mktemp("data")))


def test_intervals_hold_the_value_and_say_what_was_resampled(problem):
    retrained, unlearned = bank(problem, 0), bank(problem, 50, forget=4)
    numbers, comparison = population_numbers(
        "u_lira",
        ULiRA(),
        unlearned,
        retrained,
        problem,
        Resampling(models=40, examples=200),
        ("row", "retrained"),
    )
    number = numbers["u_lira/accuracy"]
    assert number.n == 16 and number.draws.shape == (40,)
    assert number.over_models.over == "models" and number.over_examples.over == "examples"
    for interval in (number.over_models, number.over_examples):
        assert interval.low <= number.value <= interval.high and interval.low < interval.high
    share = numbers["u_lira/tpr_1_percent"]
    assert share.over_models.low >= 0 and share.over_models.high <= 1
    assert comparison.protocol == "held-out models"
