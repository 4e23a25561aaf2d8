"""NegGrad: gradient ascent on the forget set."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.methods.parts.optimizers import OptimizerName
from unlearn.methods.parts.stage import Stage


class NegGrad(UnlearningMethod):
    """Climbs the loss of the forget set, and does nothing to protect the rest. It forgets whatever
    it is asked to, and soon everything else too. The length of the climb is the only brake.

        J = -L_f

    Source: Golatkar, Achille, Soatto, Eternal Sunshine of the Spotless Net, CVPR 2020 (arXiv
    1911.04933); values of the MUFAC benchmark (Choi, Na, arXiv 2311.02240).
    Reads: the forget set.
    Differs from the official code: the benchmark counts its steps by a loop over the retain set it
    does not use (268 steps); here epochs are passes over the forget set. The network is in training
    mode, not in whatever mode the last evaluation left.

    Args:
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over the forget set.
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
        epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "sgd",
    ):
        super().__init__()
        self.stage = Stage(lr, epochs, batch_size, weight_decay, optimizer)

    def phases(self) -> list[Phase]:
        return [self.stage.phase("ascent", "forget")]

    def loss(self, batch: Batch) -> Tensor:
        return -self.task.criterion(self.net(batch.x), batch.y)
