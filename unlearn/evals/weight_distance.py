"""How far the weights have moved."""

from torch import nn

from unlearn.evals.base import Evaluation, Outputs, Quantity
from unlearn.metrics.divergence import weight_distance
from unlearn.problem import UnlearningProblem


class WeightDistance(Evaluation):
    """Euclidean distance of all weights and running statistics from the original model's, also as
    a share of the original's norm. It says how much a method changes, not how well it forgets:
    models retrained from other seeds lie far away and are right.

    Source: the l2 distance between weights in Golatkar et al., Eternal Sunshine of the Spotless
    Net, CVPR 2020 (arXiv 1911.04933).
    """

    references = ("original",)
    uses_network = True
    quantities = {
        "to_original": Quantity("weights moved", "closer"),
        "share": Quantity("weights moved", "closer", unit="%"),
    }

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        now = {key: value.cpu() for key, value in net.state_dict().items()}
        before = {key: value.cpu() for key, value in outputs.original_state.items()}
        distance = weight_distance(before, now)
        zeros = {key: value.new_zeros(value.shape) for key, value in before.items()}
        return {"to_original": distance, "share": distance / weight_distance(before, zeros)}
