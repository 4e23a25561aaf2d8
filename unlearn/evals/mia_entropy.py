"""Membership attack on prediction entropy."""

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.membership import entropy_attack
from unlearn.metrics.statistics import entropy
from unlearn.problem import UnlearningProblem


class MiaEntropy(Evaluation):
    """Share of forget examples that a logistic regression on the entropy of the prediction takes
    for training data, after it learned retain against test examples. Right is the share that
    retrained models get; below it the forget set has become conspicuous. Beside it the mean entropy
    itself on the forget set, in nats, between 0 and ln(classes).

    Source: Chundawat et al., Can Bad Teaching Induce Forgetting?, AAAI 2023 (arXiv 2205.08096),
    with the attacker of SSD (arXiv 2308.07707).
    """

    splits = ("retain", "forget", "test")
    tasks = ("classification",)
    version = 2  # 2: with the mean entropy
    quantities = {
        "member_rate": Quantity("member attack", "closer", unit="%", headline=True),
        "forget_entropy": Quantity("forget entropy", "closer", unit="nats"),
    }

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        own = outputs.unlearned
        rate = entropy_attack(own["retain"].logits, own["test"].logits, own["forget"].logits)
        return {
            "member_rate": rate,
            "forget_entropy": entropy(own["forget"].logits).mean().item(),
        }
