"""Zero Retrain Forgetting: likeness to a network that never learned anything."""

from torch import Tensor, nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.divergence import zrf
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import forward
from unlearn.training.trainer import TrainerSettings


class ZeroRetrainForgetting(Evaluation):
    """One minus the Jensen-Shannon divergence between the predictions on the forget set and those
    of a freshly initialised network. 1 is as random as a network that never learned, which
    constant outputs reach too; right is what retrained models get.

    Source: Chundawat et al., Can Bad Teaching Induce Forgetting?, AAAI 2023 (arXiv 2205.08096).

    Args:
        legacy: the scale of the published code, for its tables.
        seed: of the untrained network.
    """

    splits = ("forget",)
    tasks = ("classification",)
    fresh_network = True
    quantities = {"score": Quantity("ZRF", "closer")}

    def __init__(self, legacy: bool = False, seed: int = 0):
        self.legacy, self.seed = legacy, seed
        self._untrained: dict[str, Tensor] = {}

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        if problem.digest not in self._untrained:
            device = TrainerSettings().device
            untrained = problem.fresh_network(self.seed).eval()
            self._untrained[problem.digest] = forward(
                untrained.to(device), problem, problem.splits["forget"], device
            )
        untrained_logits = self._untrained[problem.digest]
        return {"score": zrf(outputs.unlearned["forget"].logits, untrained_logits, self.legacy)}
