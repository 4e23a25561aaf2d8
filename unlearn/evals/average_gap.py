"""The average gap to retraining of four numbers."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unlearn.evals.base import Evaluation, Outputs, Quantity, utility_split
from unlearn.metrics.accuracy import accuracy
from unlearn.metrics.average_gap import average_gap
from unlearn.metrics.membership import svc_attack
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import BySplit


class AverageGap(Evaluation):
    """Mean absolute difference to the retrained models' mean of unlearning accuracy (1 - forget
    accuracy), retain accuracy, test accuracy (of kept classes, where whole classes are forgotten),
    and the share of forget examples that a support vector classifier on confidence calls unseen.
    Lower is better, down to what one retrained model has against the others.

    Source: Fan et al., SalUn, ICLR 2024 (arXiv 2310.12508).
    """

    splits = ("retain", "forget", "test")
    optional_splits = ("retain_test",)
    references = ("retrained",)
    tasks = ("classification",)
    quantities = {"gap": Quantity("average gap", "lower", 0.0, "%")}

    def __init__(self) -> None:
        # The reference models' own numbers, with the predictions they belong to.
        self._known: dict[int, tuple[BySplit, Tensor]] = {}

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        if not outputs.retrained:
            return {"gap": math.nan}
        retrained = torch.stack([self._reference(r) for r in outputs.retrained])
        return {"gap": float(average_gap(four_numbers(outputs.unlearned), retrained.mean(0)))}

    def distances(self, outputs: Outputs, problem: UnlearningProblem) -> Mapping[str, Tensor]:
        retrained = torch.stack([self._reference(r) for r in outputs.retrained])
        own = four_numbers(outputs.unlearned)
        # Signs of the differences to the mean: what a retrained model adds to it, it takes away.
        side = (own - retrained.mean(0)).sign()
        return {"gap": ((own - retrained) * side).mean(1)}

    def _reference(self, predictions: BySplit) -> Tensor:
        if id(predictions) not in self._known:
            self._known[id(predictions)] = (predictions, four_numbers(predictions))
        return self._known[id(predictions)][1]


def four_numbers(predictions: BySplit) -> Tensor:
    """Unlearning, retain and test accuracy and the membership attack, shares, `(4,)`."""
    retain, forget, test = (
        predictions[name] for name in ("retain", "forget", utility_split(predictions))
    )
    unseen = predictions["test"]
    size = min(len(retain), len(unseen))
    known, unseen = retain.sample(size), unseen.sample(size)
    return torch.tensor(
        [
            1 - accuracy(*forget.pair),
            accuracy(*retain.pair),
            accuracy(*test.pair),
            svc_attack(*known.pair, *unseen.pair, *forget.pair, "confidence"),
        ]
    )
