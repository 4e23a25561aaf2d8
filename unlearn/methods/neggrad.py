"""NegGrad: gradient ascent on the forget set."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.errors import UserError
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.optimizers import OptimizerName
from unlearn.methods.parts.sampling import full_batches
from unlearn.methods.parts.stage import Stage


class NegGrad(UnlearningMethod):
    """Climbs the loss of the forget set, and does nothing to protect the rest. It forgets whatever
    it is asked to, and soon everything else too. The length of the climb is the only brake.

        J = -L_f

    Source: Golatkar, Achille, Soatto, Eternal Sunshine of the Spotless Net, CVPR 2020 (arXiv
    1911.04933); values of the MUFAC benchmark (Choi, Na, arXiv 2311.02240).
    Reads: the forget set.
    Differs from the official code: the benchmark counts its steps by two passes over the retain set
    it does not use, 268 batches, and skips those where either side is short: 255 steps, each on a
    full batch (`steps: 255`); here epochs are passes over the forget set. It augments the forget
    images (`augment=true`). The network is in training mode, not in whatever mode the last
    evaluation left.

    Args:
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over the forget set; give this or `steps`.
        steps: steps, each on a full batch of the forget set, which is shuffled anew when it ends.
        batch_size: examples a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
    """

    requires = ("forget",)
    stacks = True

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int,
        optimizer: OptimizerName = "sgd",
    ):
        super().__init__()
        if (epochs is None) == (steps is None):
            raise UserError(
                "method: give exactly one of method.epochs and method.steps, and null for the other"
            )
        self.steps = None if steps is None else int(check("steps", steps, low=1))
        self.stage = Stage(lr, 1 if epochs is None else epochs, batch_size, weight_decay, optimizer)

    def phases(self) -> list[Phase]:
        if self.steps is None:
            return [self.stage.phase("ascent", "forget")]
        forget = full_batches(self.data.forget, self.stage.batch_size, self.steps, self.generator)
        return [self.stage.phase("ascent", forget, order="stored")]

    def loss(self, batch: Batch) -> Tensor:
        return -self.task.criterion(self.net(batch.x), batch.y)
