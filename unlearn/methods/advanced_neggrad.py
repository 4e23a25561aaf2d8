"""Advanced NegGrad: descend on the retain set while climbing on the forget set."""

from torch import Tensor

from unlearn.data.splits import Pair
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.optimizers import OptimizerName
from unlearn.methods.parts.stage import Stage


class AdvancedNegGrad(UnlearningMethod):
    """Takes a retain batch and a forget batch a step and lowers the loss of the one while it raises
    that of the other. The retain term keeps the accuracy that plain ascent destroys. A factor says
    how much forgetting may cost.

        J = L_r - lambda L_f

    Source: the report of GISA, section 4.2; the MUFAC benchmark (Choi, Na, arXiv 2311.02240) has
    lambda 1, SGD at 0.001 and two epochs.
    Reads: the forget set and the retain set.
    Differs from the official code: the benchmark skips pairs of unequal size (13 of its 268), here
    all batches have one size but for an example; it augments both sets (`augment=true`); the
    network is in training mode, not in whatever mode the last evaluation left.

    Args:
        forget_weight: lambda, >= 0.
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over the longer of the two sets.
        batch_size: examples of each set a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
    """

    requires = ("retain", "forget")
    stacks = True

    def __init__(
        self,
        *,
        forget_weight: float,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "adam",
    ):
        super().__init__()
        self.forget_weight = check("forget_weight", forget_weight, low=0)
        self.stage = Stage(lr, epochs, batch_size, weight_decay, optimizer)

    def phases(self) -> list[Phase]:
        return [self.stage.phase("joint", "paired")]

    def loss(self, batch: Pair) -> Tensor:
        retain = self.task.criterion(self.net(batch.retain.x), batch.retain.y)
        forget = self.task.criterion(self.net(batch.forget.x), batch.forget.y)
        return retain - self.forget_weight * forget
