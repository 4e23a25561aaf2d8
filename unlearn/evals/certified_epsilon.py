"""A lower bound on epsilon that holds at a stated confidence."""

from unlearn.evals.base import Comparison, Evaluation, Quantity
from unlearn.metrics.certified import certified_epsilon
from unlearn.metrics.intervals import check_level
from unlearn.metrics.statistics import logit_scaled_confidence
from unlearn.metrics.validation import check_delta
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class CertifiedEpsilon(Evaluation):
    """Lower bound on the largest epsilon of any forget example that is wrong with probability 5 %
    at most, whatever the distributions: from the wealth of an attacker who bets on models that it
    has not seen. 0 certifies nothing, and few models can certify little: `attainable` is what
    populations without any overlap would get with as many. Where estimates such as epsilon-hat
    are biased upwards, this says what can be sworn to. `worst tenth` bets on the tenth of the
    examples that the models seen so far separate best, chosen anew before every bet.

    Source: Waudby-Smith and Ramdas, Estimating Means of Bounded Random Variables by Betting, JRSS B
    2024 (arXiv 2010.09686); auditing by error rates as in Jagielski et al., NeurIPS 2020
    (arXiv 2006.07709).

    Args:
        delta: of the epsilons, in [0, 1).
        level: confidence in (0, 1).
    """

    splits = ("forget",)
    min_models = 8
    wants_models = 64
    remembers = ("bound", "worst_tenth")
    max_replicates = 0  # a bound is its own statement of uncertainty
    quantities = {
        "bound": Quantity("ε at least", "lower", 0.0),
        "worst_tenth": Quantity("ε of the worst tenth at least", "lower", 0.0),
        "attainable": Quantity("ε bound attainable", "higher"),
    }

    def __init__(self, delta: float = 0.05, level: float = 0.95):
        check_level(level)
        self.delta, self.level = check_delta(delta), level

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        return population.reduce(logit_scaled_confidence, "forget")

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        every, worst = (
            certified_epsilon(
                retrained.logits["forget"],
                unlearned.logits["forget"],
                retrained.targets["forget"],
                self.delta,
                self.level,
                worst=share,
            )
            for share in (1.0, 0.1)
        )
        values = {"bound": every.bound, "worst_tenth": worst.bound, "attainable": every.largest}
        return Comparison(
            values, protocol=f"delta {self.delta:g}, confidence {100 * self.level:g} %"
        )
