"""Membership attack with a support vector classifier on five statistics."""

from typing import get_args

import torch
from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.membership import MembershipStatistic, svc_attack
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import BySplit, Predictions

STATISTICS: tuple[MembershipStatistic, ...] = get_args(MembershipStatistic)


class MiaSvc(Evaluation):
    """Share of forget examples that a support vector classifier takes for unseen, after it learned
    as many retain as test examples from one statistic of the prediction (`correctness`,
    `confidence`, `entropy`, `m_entropy`, or the whole vector `prob`). The field's tables call it
    MIA or MIA efficacy. Right is what retrained models get.

    Source: Jia et al., Model Sparsity Can Simplify Machine Unlearning, NeurIPS 2023
    (arXiv 2304.04934); statistics of Song and Mittal, USENIX Security 2021 (arXiv 2003.10595).

    Args:
        legacy: compute the modified entropy as the published code does, for its tables.
    """

    splits = ("retain", "forget", "test")
    tasks = ("classification",)
    quantities = {name: Quantity(f"SVC {name}", "closer", unit="%") for name in STATISTICS}

    def __init__(self, legacy: bool = False):
        self.legacy = legacy

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        return {name: non_members(outputs.unlearned, name, self.legacy) for name in STATISTICS}


def non_members(
    outputs: BySplit, statistic: MembershipStatistic = "confidence", legacy: bool = False
) -> float:
    """Share of forget examples called unseen; retain and test are cut to one size."""
    size = min(len(outputs["retain"].targets), len(outputs["test"].targets))
    retain, test = fixed_sample(outputs["retain"], size), fixed_sample(outputs["test"], size)
    forget = outputs["forget"]
    return svc_attack(
        retain.logits,
        retain.targets,
        test.logits,
        test.targets,
        forget.logits,
        forget.targets,
        statistic,
        legacy,
    )


def fixed_sample(predictions: Predictions, size: int) -> Predictions:
    """The same `size` examples whenever it is asked of the same split; all if there are fewer."""
    count = len(predictions.targets)
    if count <= size:
        return predictions
    rows = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:size].sort().values
    return Predictions(predictions.logits[rows], predictions.targets[rows], predictions.index[rows])
