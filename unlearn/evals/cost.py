"""What a run cost, and what share of retraining that is."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.problem import UnlearningProblem

# Seconds can be compared between models that agree in these.
TRAINED_ALIKE = ("device", "trained_at_once")


class Cost(Evaluation):
    """Seconds of the method alone (preparation and training, no loading, no evaluation), optimizer
    steps, examples read, peak memory, and shares of what retraining costs.

    `retrain_share` is the ratio of counted floating-point operations, in which teachers,
    importances and all other preparation are included: it is the same on every machine and however
    many models were trained at once, and 1 for retraining. `time_share` is the ratio of seconds to
    the mean of the retrained models that were trained on the same device, as many at once; NaN
    where there is none. Doing nothing costs nothing.

    Source: the 20 % rule of the NeurIPS 2023 unlearning challenge (arXiv 2406.09073) and the
    run-time efficiency of Jia et al., NeurIPS 2023 (arXiv 2304.04934), both in seconds.
    """

    references = ("retrained",)
    quantities = {
        "seconds": Quantity("time", "lower", ideal=0, unit="s", headline=True),
        "retrain_share": Quantity("of retrain", "lower", ideal=0, unit="%", headline=True),
        "time_share": Quantity("of retrain's time", "lower", ideal=0, unit="%"),
        "steps": Quantity("steps", "lower", ideal=0),
        "examples_read": Quantity("examples read", "lower", ideal=0),
        "peak_memory": Quantity("peak memory", "lower", unit="MB"),
    }

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        costs, retraining = outputs.costs, outputs.retraining
        alike = [c for c in retraining if all(c[key] == costs[key] for key in TRAINED_ALIKE)]
        return {
            "seconds": costs["seconds"],
            "retrain_share": share_of("operations", costs, retraining),
            "time_share": share_of("seconds", costs, alike),
            "steps": float(costs["steps"]),
            "examples_read": float(costs["examples_read"]),
            "peak_memory": _number(costs["peak_memory"]) / 2**20,
        }


def share_of(what: str, costs: Mapping[str, Any], retraining: Sequence[Mapping[str, Any]]) -> float:
    """A cost over its mean in retraining; NaN where either is unknown.

    Args:
        what: `operations` or `seconds`.
        costs: of a run.
        retraining: costs of retrained models to compare with.
    """
    own = _number(costs[what])
    known = [number for c in retraining if not math.isnan(number := _number(c[what]))]
    if own == 0:
        return 0.0
    return own / (sum(known) / len(known)) if known and sum(known) else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
