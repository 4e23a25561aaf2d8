"""How far predictions are from those of retrained models, split by split."""

import math
from collections.abc import Mapping

from torch import Tensor, nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.divergence import activation_distance, js, kl, prediction_agreement
from unlearn.problem import UnlearningProblem

SPLITS = ("retain", "forget", "test")
MEASURES = {
    "kl": ("KL", "lower", 0.0, "nats", kl),
    "js": ("JS", "lower", 0.0, "nats", js),
    "activation_distance": ("distance", "lower", 0.0, "", activation_distance),
    "agreement": ("agreement", "higher", 1.0, "%", prediction_agreement),
}


class Divergence(Evaluation):
    """Predictions against those of the reference retrained models, mean over these, on every
    split: Kullback-Leibler divergence of the retrained from the evaluated model and
    Jensen-Shannon divergence in nats, Euclidean distance of the softmax vectors, share of equal
    predicted classes; for regression the mean absolute difference in the target's unit. Lower
    is better (agreement: higher), down to what one retrained model has against another.

    Source: Golatkar et al., Forgetting Outside the Box, ECCV 2020 (arXiv 2003.02960), the
    activation distance; JS divergence to the retrained model as in Tarun et al., Fast Yet
    Effective Machine Unlearning, TNNLS 2023 (arXiv 2111.08947).
    """

    splits = SPLITS
    references = ("retrained",)
    quantities = {
        f"{split}_{name}": Quantity(
            f"{split} {label}",
            better,  # type: ignore[arg-type]
            ideal,
            unit,
            headline=(split, name) == ("forget", "kl"),
        )
        for split in SPLITS
        for name, (label, better, ideal, unit, _) in MEASURES.items()
    }

    def described(self, problem: UnlearningProblem) -> Mapping[str, Quantity]:
        if problem.task.is_classification:
            return self.quantities
        return {
            f"{split}_difference": Quantity(
                f"{split} difference", "lower", 0.0, problem.task.unit, headline=split == "forget"
            )
            for split in SPLITS
        }

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        if not outputs.retrained:
            return dict.fromkeys(self.described(problem), math.nan)
        measures = (
            {name: function for name, (*_, function) in MEASURES.items()}
            if problem.task.is_classification
            else {"difference": absolute_difference}
        )
        return {
            f"{split}_{name}": sum(
                measure(retrained[split].logits, outputs.unlearned[split].logits)
                for retrained in outputs.retrained
            )
            / len(outputs.retrained)
            for split in SPLITS
            for name, measure in measures.items()
        }


def absolute_difference(first: Tensor, second: Tensor) -> float:
    """Mean distance of two models' predicted values `(N, 1)`."""
    return float((first - second).abs().double().mean())
