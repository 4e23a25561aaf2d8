"""Epsilon-hat: how well a likelihood-ratio attack tells unlearned from retrained models."""

from unlearn.evals.base import Comparison, Evaluation, Quantity
from unlearn.metrics.epsilon import epsilon_hat, median_epsilon
from unlearn.metrics.statistics import hinge_margin
from unlearn.metrics.validation import check_delta
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class EpsilonHat(Evaluation):
    """Median over forget examples of the epsilon that a Gaussian likelihood-ratio attack reaches
    on the margin of the true class (regression: on the prediction). Lower is better, down to what
    retrained models get against each other with as many models; it does not compare across numbers
    of models.

    Source: Krähenmann et al., Forget with Precision: Assessing Machine Unlearning Approaches, ETH
    Zürich 2023.

    Args:
        delta: of the epsilons, in [0, 1).
    """

    splits = ("forget",)
    min_models = 8
    remembers = ("median",)
    # benchmarks/coverage.py: twice too wide with fewer. The share of infinite ones is no extreme.
    fewest = {"median": 16, "infinite": None}
    wants_models = 80
    extremes = True
    over_examples = {"median": ("epsilon_hat", "median")}
    quantities = {
        "median": Quantity("ε̂", "lower", headline=True),
        "infinite": Quantity("ε̂ infinite", "lower", 0.0, "%"),
    }

    def __init__(self, delta: float = 0.05):
        self.delta = check_delta(delta)

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        return population.reduce(hinge_margin, "forget")

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        epsilons = epsilon_hat(
            retrained.logits["forget"],
            unlearned.logits["forget"],
            retrained.targets["forget"],
            self.delta,
        )
        return Comparison(
            {
                "median": median_epsilon(epsilons),
                "infinite": epsilons.isposinf().double().mean().item(),
            },
            {"epsilon_hat": epsilons},
            f"delta {self.delta:g}",
        )
