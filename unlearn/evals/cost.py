"""What a run cost, and what share of retraining that is."""

import math

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.problem import UnlearningProblem


class Cost(Evaluation):
    """Seconds of the method alone (preparation and training, no loading, no evaluation), optimizer
    steps, examples read, peak memory, and the share of the seconds that retraining took.

    The share is of the same hardware only if the retrained models were trained there, and compares
    stacked with one-by-one fits when the two were run differently; the record says both.

    Source: the 20 % rule of the NeurIPS 2023 unlearning challenge (arXiv 2406.09073) and the
    run-time efficiency of Jia et al., NeurIPS 2023 (arXiv 2304.04934).
    """

    references = ("retrained",)
    quantities = {
        "seconds": Quantity("time", "lower", ideal=0, unit="s", headline=True),
        "retrain_share": Quantity("of retrain", "lower", ideal=0, unit="%", headline=True),
        "steps": Quantity("steps", "lower", ideal=0),
        "examples_read": Quantity("examples read", "lower", ideal=0),
        "peak_memory": Quantity("peak memory", "lower", unit="MB"),
    }

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        costs, base = outputs.costs, outputs.retrain_seconds
        return {
            "seconds": costs["seconds"],
            "retrain_share": costs["seconds"] / base if base else math.nan,
            "steps": float(costs["steps"]),
            "examples_read": float(costs["examples_read"]),
            "peak_memory": costs["peak_memory"] / 2**20,
        }
