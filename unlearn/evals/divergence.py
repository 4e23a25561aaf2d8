"""How far predictions are from those of retrained models, split by split."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.divergence import distances_to, log_softmax
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import BySplit

SPLITS = ("retain", "forget", "test")
MEASURES = {
    "kl": ("KL", "lower", 0.0, "nats"),
    "js": ("JS", "lower", 0.0, "nats"),
    "activation_distance": ("distance", "lower", 0.0, ""),
    "agreement": ("agreement", "higher", 1.0, "%"),
}


class Divergence(Evaluation):
    """Predictions against those of all retrained models at hand, mean over these, on every split:
    Kullback-Leibler divergence of the retrained from the evaluated model and Jensen-Shannon
    divergence in nats, Euclidean distance of the softmax vectors, share of equal predicted
    classes; for regression the mean absolute difference in the target's unit. Lower is better
    (agreement: higher), down to what one retrained model has to another; constant or very smooth
    outputs can fall below that, which is no forgetting.

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
        for name, (label, better, ideal, unit) in MEASURES.items()
    }

    def __init__(self) -> None:
        # The retrained models' log-probabilities, with the predictions they belong to.
        self._known: dict[tuple[int, str], tuple[BySplit, Tensor]] = {}

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
        return {key: float(d.mean()) for key, d in self.distances(outputs, problem).items()}

    def distances(self, outputs: Outputs, problem: UnlearningProblem) -> Mapping[str, Tensor]:
        own, found = outputs.unlearned, {}
        for split in SPLITS:
            if problem.task.is_classification:
                references = self._log_probabilities(outputs.retrained, split)
                measured = distances_to(references, own[split].logits)
            else:
                values = torch.stack([r[split].logits for r in outputs.retrained]).double()
                measured = {"difference": (values - own[split].logits).abs().mean((1, 2))}
            found.update({f"{split}_{name}": value for name, value in measured.items()})
        return found

    def _log_probabilities(self, retrained: Sequence[BySplit], split: str) -> Tensor:
        for model in retrained:
            if (id(model), split) not in self._known:
                self._known[id(model), split] = (model, log_softmax(model[split].logits))
        return torch.stack([self._known[id(model), split][1] for model in retrained])
