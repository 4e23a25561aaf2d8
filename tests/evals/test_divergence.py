"""Divergence from retrained models."""

import math
from dataclasses import replace

import pytest
from support.answers import NET, answers

from unlearn.data.task import Task
from unlearn.evals.base import Outputs
from unlearn.evals.divergence import Divergence


def test_equal_outputs_have_no_distance(problem):
    own = answers(problem, 0)
    outputs = Outputs(own, own, [own])
    numbers = Divergence().compute(outputs, problem, NET)
    assert all(numbers[f"{s}_agreement"] == 1 for s in ("retain", "forget", "test"))
    distances = [v for k, v in numbers.items() if "agreement" not in k]
    assert distances == pytest.approx([0] * len(distances), abs=1e-12)


def test_without_retrained_models_there_is_no_distance(problem):
    numbers = Divergence().compute(Outputs(answers(problem, 0), {}, []), problem, NET)
    assert numbers and all(math.isnan(v) for v in numbers.values())


def test_divergence_is_the_mean_over_retrained_models(problem):
    own, one, two = (answers(problem, s) for s in range(3))
    each = [Divergence().compute(Outputs(own, {}, [r]), problem, NET) for r in (one, two)]
    both = Divergence().compute(Outputs(own, {}, [one, two]), problem, NET)
    for key, value in both.items():
        assert value == pytest.approx((each[0][key] + each[1][key]) / 2)


def test_regression_has_a_difference_in_the_targets_unit(problem):
    class Years:
        task = Task("regression", 1, "l1", unit="years")
        splits = problem.splits

    own = {n: replace(p, logits=p.logits[:, :1]) for n, p in answers(problem, 0).items()}
    late = {n: replace(p, logits=p.logits + 2.5) for n, p in own.items()}
    numbers = Divergence().compute(Outputs(late, {}, [own]), Years(), NET)
    assert numbers == pytest.approx(dict.fromkeys(numbers, 2.5), abs=1e-5)
    described = Divergence().described(Years())
    assert set(described) == set(numbers)
    assert {q.unit for q in described.values()} == {"years"}
