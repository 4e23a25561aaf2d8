"""Membership attack on prediction entropy."""

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.membership import entropy_attack
from unlearn.problem import UnlearningProblem


class MiaEntropy(Evaluation):
    """Share of forget examples that a logistic regression on the entropy of the prediction takes
    for training data, after it learned retain against test examples. Right is the share that
    retrained models get; below it the forget set has become conspicuous.

    Source: Chundawat et al., Can Bad Teaching Induce Forgetting?, AAAI 2023 (arXiv 2205.08096),
    with the attacker of SSD (arXiv 2308.07707).
    """

    splits = ("retain", "forget", "test")
    tasks = ("classification",)
    quantities = {"member_rate": Quantity("member attack", "closer", unit="%", headline=True)}

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        own = outputs.unlearned
        rate = entropy_attack(own["retain"].logits, own["test"].logits, own["forget"].logits)
        return {"member_rate": rate}
