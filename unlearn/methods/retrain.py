"""Retraining from scratch: the gold standard, and its price."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.methods.parts.recipe_phase import recipe_phase

# Far from the seeds of original models, which must not share their initialisation.
FRESH_SEEDS = 2_000_003


class Retrain(UnlearningMethod):
    """Throws the original model away and trains a new network on the retain set with the recipe
    of the original. Exact unlearning by definition; all others are judged by how close they come.

        theta_u = train(fresh network, retain set)

    Source: exact unlearning, as in Bourtoule et al., Machine Unlearning, IEEE S&P 2021
    (arXiv 1912.03817).
    Reads: the retain set.
    Differs from the official code: the code of SSD and JiT resets only the layers that are direct
    children of the network, which keeps most trained weights; here a new network is built.
    """

    requires = ("retain",)
    stacks = True

    def prepare(self) -> None:
        fresh = self.data.fresh_network(self.seed + FRESH_SEEDS)
        self.net.load_state_dict(fresh.state_dict())

    def phases(self) -> list[Phase]:
        return [recipe_phase(self.data.recipe, "retain")]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
