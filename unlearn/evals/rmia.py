"""RMIA: a membership attack relative to images that no model saw."""

import torch
from torch import Tensor

from unlearn.evals.base import Comparison, Evaluation, Quantity
from unlearn.metrics.population import rmia
from unlearn.metrics.statistics import logit_margin
from unlearn.metrics.validation import require
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class RMIA(Evaluation):
    """Attack that calls a model unlearned where its confidence on a forget example is unusual
    beside its confidence on test images, both relative to the average over models. AUC and true
    positive rates pool all examples; 50 % is perfect. The accuracy is that of each example's best
    threshold, chosen in-sample: its ideal is what retrained models get against each other.

    Source: Zarifzadeh, Liu and Shokri, Low-Cost High-Power Membership Inference Attacks, ICML 2024
    (arXiv 2312.03262).

    Args:
        gamma: threshold of the pairwise likelihood ratio.
    """

    splits = ("forget", "test")
    tasks = ("classification",)
    min_models = 8
    wants_models = 64
    over_examples = {"accuracy": ("rmia", "mean")}
    quantities = {
        "accuracy": Quantity("RMIA accuracy", "lower", unit="%", headline=True),
        "auc": Quantity("RMIA AUC", "closer", 0.5, headline=True),
        "tpr_1_percent": Quantity("RMIA TPR at 1 % FPR", "closer", 0.01, "%"),
    }

    def __init__(self, gamma: float = 1.0):
        require(gamma > 0, "gamma", f"must be above 0, got {gamma}")
        self.gamma = gamma

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        two_classes = population.reduce(true_class_against_rest, "forget", "test")
        zeros = {name: torch.zeros_like(y) for name, y in two_classes.targets.items()}
        return Population(two_classes.seeds, two_classes.logits, zeros, two_classes.index)

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        attack = rmia(
            retrained.logits["forget"],
            unlearned.logits["forget"],
            retrained.targets["forget"],
            retrained.logits["test"],
            unlearned.logits["test"],
            retrained.targets["test"],
            self.gamma,
        )
        return Comparison(
            {
                "accuracy": attack.accuracy,
                "auc": attack.auc,
                "tpr_1_percent": attack.tpr_at_1_percent_fpr,
            },
            {"rmia": attack.per_example},
            f"gamma {self.gamma:g}",
        )


def true_class_against_rest(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits of two classes, the true one and all others together, of the same probabilities."""
    odds = logit_margin(logits, targets)
    return torch.stack([odds, torch.zeros_like(odds)], -1)
