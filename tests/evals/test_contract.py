"""Every file of conf/eval keeps the contract. No evaluation is named here."""

import copy
import inspect
import math

import pytest
import torch
from support.answers import answers, bank
from support.compose import compose_job, options

from unlearn.evals.base import Evaluation, Outputs
from unlearn.programs.composing import evaluations_of, problem_of
from unlearn.storage.predictions import Population

COSTS = {
    "seconds": 1.0, "steps": 3, "examples_read": 5, "operations": 7, "peak_memory": 2**20,
    "device": "here", "trained_at_once": 1,
}  # fmt: skip


def evaluations(name: str, home) -> dict[str, Evaluation]:
    job = compose_job(f"eval={name}", "logger=none", home=home)
    return evaluations_of(job, problem_of(job))


@pytest.mark.parametrize("name", options("eval"))
def test_evaluation_keeps_the_contract(name, home):
    job = compose_job(f"eval={name}", "logger=none", home=home)
    problem = problem_of(job)
    for key, evaluation in evaluations_of(job, problem).items():
        text = inspect.getdoc(type(evaluation)) or ""
        assert "Source:" in text or "Sources:" in text, f"{key}: the docstring names no source"
        assert evaluation.needed_splits(problem) <= set(problem.splits)
        described = evaluation.described(problem)
        assert described and set(described) == set(evaluation.quantities)
        net = problem.fresh_network(0).eval()
        before = copy.deepcopy(net.state_dict())
        if evaluation.min_models:
            numbers = compare(evaluation, problem)
        else:
            outputs = Outputs(
                answers(problem, 0),
                answers(problem, 1),
                [answers(problem, 2)],
                COSTS,
                [COSTS],
                problem.fresh_network(1).state_dict(),
            )
            numbers = evaluation.compute(outputs, problem, net)
            again = evaluation.compute(outputs, problem, net)
            assert numbers == again, f"{key} is not deterministic"
        assert numbers and set(numbers) <= set(described), f"{key} gives undeclared quantities"
        assert all(isinstance(v, float) and not math.isnan(v) for v in numbers.values())
        assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def compare(evaluation: Evaluation, problem) -> dict[str, float]:
    """Numbers of two populations of the smallest size the evaluation accepts."""
    size = evaluation.min_models
    sides = [
        Population.of({str(s): answers(problem, start + s) for s in range(size)})
        for start in (0, 100)
    ]
    comparison = evaluation.compare(*sides, problem)
    for values in comparison.examples.values():
        assert len(values) == len(problem.splits["forget"])
    assert comparison.protocol
    return dict(comparison.values)


def test_numbers_do_not_depend_on_what_else_is_on(home):
    everything = compose_job("eval=full", "logger=none", home=home)
    problem = problem_of(everything)
    outputs = Outputs(
        answers(problem, 0),
        answers(problem, 1),
        [answers(problem, 2)],
        COSTS,
        [COSTS],
        problem.fresh_network(1).state_dict(),
    )
    net = problem.fresh_network(0).eval()
    together = {
        name: evaluation.compute(outputs, problem, net)
        for name, evaluation in evaluations_of(everything, problem).items()
        if not evaluation.min_models
    }
    for name, numbers in together.items():
        torch.manual_seed(17)
        alone = evaluations(name, home)[name].compute(outputs, problem, net)
        assert alone == numbers


@pytest.mark.parametrize("name", options("eval"))
def test_reduced_populations_give_the_same_numbers(name, problem):
    job = compose_job(f"eval={name}", "logger=none")
    one, other = bank(problem, 0), bank(problem, 50, forget=4)
    for key, evaluation in evaluations_of(job, problem).items():
        if not evaluation.min_models:
            continue
        whole = evaluation.compare(other, one, problem).values
        reduced = (evaluation.reduced(p, problem) for p in (other, one))
        again = evaluation.compare(*reduced, problem).values
        assert again == pytest.approx(dict(whole), rel=1e-9, nan_ok=True), key
