"""Selective pruning with two twins: redraw what neither of them moved."""

from dataclasses import replace

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.reinitialisation import Order, overfitting, redraw_, repair, similar
from unlearn.methods.parts.sampling import random_sample
from unlearn.methods.parts.stage import Stage


class SelectivePruningComplex(UnlearningMethod):
    """Overfits one copy of the network on the forget set and another one on a small part of the
    retain set. Weights that hardly moved in both are redrawn, in every tensor of two or more
    dimensions; biases and batch norm stay. Fine-tuning on the retain set mends the rest.

        w_ij ~ N(0, 2 / fan-in)   where |w - w_F|_ij < q_F and |w - w_R|_ij < q_R

    Source: Krähenmann, Neubecker, Strozzi, Martinelli, Forget with Precision: Assessing Machine
    Unlearning Approaches (ETH Zurich, 2023), section 3.5.
    Reads: the forget set and the retain set.
    Differs from the official code: the retain twin has the rate 0.01 / 3; there an integer division
    makes it 0, so that nothing is ever redrawn. The retain set is shuffled (`order: source` has it
    as there).

    Args:
        quantile: share of every tensor's weights that are redrawn, in [0, 1].
        twin_lr: rate that overfits the forget twin (all: SGD, Nesterov momentum 0.9, constant).
        twin_epochs: the twins' passes over their data.
        lr: rate of the repair.
        weight_decay: L2 penalty of all.
        epochs: passes over the retain set in the repair.
        batch_size: examples a step.
        order: of the repair, `shuffled` or `source` (stored).
        retain_twin_lr: rate that overfits the retain twin.
        retain_share: share of the retain set that it is overfitted on, in [0, 1].
    """

    requires = ("retain", "forget")

    def __init__(
        self,
        *,
        quantile: float,
        twin_lr: float,
        twin_epochs: int,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        retain_twin_lr: float,
        retain_share: float,
        order: Order = "shuffled",
    ):
        super().__init__()
        self.quantile = check("quantile", quantile, low=0, high=1)
        self.stage = Stage(lr, epochs, batch_size, weight_decay)
        self.twin_stage = Stage(twin_lr, twin_epochs, batch_size, weight_decay, prefix="twin_")
        self.order = order
        check("retain_twin_lr", retain_twin_lr, low=0, open_low=True)
        self.retain_twin_stage = replace(self.twin_stage, lr=retain_twin_lr)
        self.retain_share = check("retain_share", retain_share, low=0, high=1)

    def phases(self) -> list[Phase]:
        sample = self.retain_share * len(self.data.retain)
        few = random_sample(self.data.retain, sample, self.generator)
        forget_twin, overfit_forget = overfitting("forget twin", self, "forget", self.twin_stage)
        retain_twin, overfit_retain = overfitting("retain twin", self, few, self.retain_twin_stage)

        def redraw() -> None:
            networks = (self.net, forget_twin, retain_twin)
            for weight, forget, retain in zip(*(n.parameters() for n in networks), strict=True):
                if weight.dim() >= 2:
                    still = similar(weight, forget, self.quantile)
                    still &= similar(weight, retain, self.quantile)
                    redraw_(weight, still, self.device_generator)

        return [overfit_forget, overfit_retain, repair(self.stage, self.order, before=redraw)]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
