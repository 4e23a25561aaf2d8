"""Forgetting quality of the NeurIPS 2023 unlearning competition, and its final score."""

import math

from unlearn.evals.base import Comparison, Evaluation, Quantity, utility_split
from unlearn.metrics.accuracy import accuracies, is_right
from unlearn.metrics.epsilon import median_epsilon
from unlearn.metrics.forgetting import (
    Protocol,
    competition_score,
    forgetting_quality,
)
from unlearn.metrics.statistics import logit_scaled_confidence, top_class_loss
from unlearn.metrics.validation import check_delta
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class ForgettingQuality(Evaluation):
    """Every forget example gets an epsilon, the most that attacks can tell unlearned from retrained
    models on it; small epsilons earn up to one point, large ones none; the score is the mean.
    The final score multiplies it by retain and test accuracy over those of retrained models; where
    whole classes are forgotten, test accuracy is of the kept ones, and no factor is above 1:
    keeping the class must not pay.
    Higher is better, up to what retrained models get against each other with as many models.

    Scores of two protocols, deltas or numbers of models never compare.

    Source: Triantafillou et al., Are we making progress in unlearning? Findings from the first
    NeurIPS unlearning competition (arXiv 2406.09073).

    Args:
        protocol: `competition`, `exact` (all thresholds instead of a grid), or `notebook` (the
            earlier public notebook, to compare with numbers made by it).
        delta: of the epsilons, None = the protocol's own.
    """

    splits = ("retain", "forget", "test")
    optional_splits = ("retain_test",)
    tasks = ("classification",)
    min_models = 8
    wants_models = 512
    max_replicates = 40
    # benchmarks/coverage.py: twice too wide with fewer; the median is an extreme over thresholds,
    # whose coverage was not measured.
    fewest = {"final": 16, "median_epsilon": None}
    over_examples = {"score": ("points", "mean"), "median_epsilon": ("epsilon", "median")}
    quantities = {
        "score": Quantity("forgetting quality", "higher", headline=True, least=0.0),
        "final": Quantity("final score", "higher", headline=True, least=0.0),
        "median_epsilon": Quantity("median ε", "lower"),
    }

    def __init__(self, protocol: Protocol = "competition", delta: float | None = None):
        self.protocol = protocol
        self.delta = None if delta is None else check_delta(delta)

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        statistic = top_class_loss if self.protocol == "notebook" else logit_scaled_confidence
        return Population(
            population.seeds,
            {
                **population.reduce(statistic, "forget").logits,
                **population.reduce(is_right, "retain", utility_split(population.logits)).logits,
            },
            population.targets,
            population.index,
        )

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        quality = forgetting_quality(
            retrained.logits["forget"],
            unlearned.logits["forget"],
            retrained.targets["forget"],
            self.protocol,
            self.delta,
        )
        test = utility_split(unlearned.logits)
        final = competition_score(
            quality.score,
            *(
                accuracies(models.logits[name], models.targets[name])
                for name in ("retain", test)
                for models in (unlearned, retrained)
            ),
            most=math.inf if test == "test" else 1.0,
        )
        return Comparison(
            {
                "score": quality.score,
                "final": final,
                "median_epsilon": median_epsilon(quality.epsilons),
            },
            {"epsilon": quality.epsilons, "points": quality.points},
            f"{self.protocol}, delta {quality.delta:g}",
        )
