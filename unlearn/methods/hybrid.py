"""Hybrid: poison, then fine-tune."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.reinitialisation import Order, repair
from unlearn.methods.parts.relabelling import poisoned
from unlearn.methods.parts.stage import Stage


class Hybrid(UnlearningMethod):
    """First trains briefly and hard on the forget set with random labels, which breaks what was
    learned of it and much else. Then fine-tunes on the retain set, which mends the rest. The second
    stage never sees a wrong label.

        J_1 = CE(f(x), y~) on forget examples,   J_2 = L_r

    Source: Krähenmann, Neubecker, Strozzi, Martinelli, Forget with Precision: Assessing Machine
    Unlearning Approaches (ETH Zurich, 2023), section 3.5.
    Reads: the forget set and the retain set.
    Differs from the official code: the retain set is shuffled (`order: source` has it as there);
    labels come from the run's seed.

    Args:
        poison_lr: rate of the first stage (both: SGD, Nesterov momentum 0.9, constant).
        poison_epochs: passes over the forget set.
        lr: rate of the second stage.
        weight_decay: L2 penalty of both.
        epochs: passes over the retain set.
        batch_size: examples a step.
        order: of the second stage, `shuffled` or `source` (stored).
        noise_std: regression only: noise in the target's unit; None = standard deviation of the
            forget set's targets.
    """

    requires = ("retain", "forget")

    def __init__(
        self,
        *,
        poison_lr: float,
        poison_epochs: int,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        order: Order = "shuffled",
        noise_std: float | None = None,
    ):
        super().__init__()
        self.poison_stage = Stage(
            poison_lr, poison_epochs, batch_size, weight_decay, prefix="poison_"
        )
        self.stage = Stage(lr, epochs, batch_size, weight_decay)
        self.order = order
        self.noise_std = noise_std if noise_std is None else check("noise_std", noise_std, low=0)

    def phases(self) -> list[Phase]:
        data = poisoned(self.data.forget, self.task, self.generator, self.noise_std)
        return [self.poison_stage.phase("poison", data), repair(self.stage, self.order)]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
