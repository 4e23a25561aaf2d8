"""Membership attack with a support vector classifier on five statistics."""

from typing import get_args

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.membership import MembershipStatistic, svc_attack
from unlearn.problem import UnlearningProblem

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
        retain, forget, test = (outputs.unlearned[name] for name in self.splits)
        size = min(len(retain), len(test))
        retain, test = retain.sample(size), test.sample(size)
        return {
            name: svc_attack(*retain.pair, *test.pair, *forget.pair, name, self.legacy)
            for name in STATISTICS
        }
