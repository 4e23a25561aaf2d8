"""Answers of imaginary models, for tests of evaluations and comparisons."""

import torch

from unlearn.evals.base import Evaluation
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population, Predictions

NET = torch.nn.Identity()  # for evaluations that do not look at the network


def answers(
    problem: UnlearningProblem, seed: int, margin: float = 3.0, **margins: float
) -> dict[str, Predictions]:
    """Noisy logits whose true class stands out by `margin`, by another on some splits."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, split in problem.splits.items():
        logits = torch.randn(len(split), problem.task.num_outputs, generator=generator)
        logits[torch.arange(len(split)), split.targets] += margins.get(name, margin)
        found[name] = Predictions(logits, split.targets, split.index)
    return found


def bank(
    problem: UnlearningProblem, first_seed: int, count: int = 16, **margins: float
) -> Population:
    """Answers of as many models, with seeds from the first on."""
    return Population.of(
        {str(s): answers(problem, first_seed + s, **margins) for s in range(count)}
    )


def assert_tells_memory(evaluation: Evaluation, quantity: str, problem: UnlearningProblem) -> None:
    """Models that remember the forget set are far from retrained ones, others are not."""
    retrained, same, original = bank(problem, 0), bank(problem, 50), bank(problem, 99, forget=7)
    floor, far = (
        evaluation.compare(u, retrained, problem).values[quantity] for u in (same, original)
    )
    assert far > 1.5 * floor
