"""Label poisoning with the retain set: random labels for forget examples, right ones for others."""

from functools import partial
from typing import Literal

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.reinitialisation import Order
from unlearn.methods.parts.relabelling import poisoned
from unlearn.methods.parts.stage import Stage
from unlearn.recipes.schedules import cosine


class LabelPoisoningFull(UnlearningMethod):
    """Trains on the whole training set in which every forget example has a label drawn at random.
    The retain examples keep accuracy up while the wrong labels overwrite the right ones. Accuracy
    on the forget set falls, and the fall itself gives away what was forgotten.

        J = CE(f(x), y~),   y~ = y on retain examples, uniform over classes on forget examples

    Source: Krähenmann, Neubecker, Strozzi, Martinelli, Forget with Precision: Assessing Machine
    Unlearning Approaches (ETH Zurich, 2023), section 3.5.
    Reads: the forget set and the retain set.
    Differs from the official code: the two sets are shuffled together. There the retain set comes
    first and the forget set last in every epoch, so each epoch ends on wrong labels (`order:
    source` has it so). Labels come from the run's seed. The cosine moves on after every batch,
    there after every epoch (`cosine: epoch`), so that its last epoch has a rate far from zero.

    Args:
        lr: learning rate (SGD, Nesterov momentum 0.9), cosine down to 0.
        weight_decay: L2 penalty.
        epochs: passes over both sets.
        batch_size: examples a step.
        cosine: whether the rate moves on after every `batch`, or after every `epoch`.
        order: `shuffled`, or `source`: retain set then forget set, in stored order.
        noise_std: regression only: noise in the target's unit; None = standard deviation of the
            forget set's targets.
    """

    requires = ("retain", "forget")

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        cosine: Literal["batch", "epoch"] = "batch",
        order: Order = "shuffled",
        noise_std: float | None = None,
    ):
        super().__init__()
        self.stage = Stage(lr, epochs, batch_size, weight_decay)
        self.cosine, self.order = cosine, order
        self.noise_std = noise_std if noise_std is None else check("noise_std", noise_std, low=0)

    def phases(self) -> list[Phase]:
        forget = poisoned(self.data.forget, self.task, self.generator, self.noise_std)
        order = "stored" if self.order == "source" else "shuffled"
        data = self.data.retain + forget
        schedule = partial(cosine, by_epoch=self.cosine == "epoch")
        return [self.stage.phase("poison", data, scheduler=schedule, order=order)]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
