"""Label poisoning: fine-tuning on forget examples with random labels."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.relabelling import poisoned
from unlearn.methods.parts.stage import Stage


class LabelPoisoning(UnlearningMethod):
    """Gives every forget example a label drawn at random and trains on these for a moment. Labels
    are uniform over all classes, its own included, and drawn once a run. In regression the target
    gets Gaussian noise instead.

        J = CE(f(x), y~) on forget examples,   y~ uniform over classes,   or y~ = y + std N(0, 1)

    Source: Krähenmann, Neubecker, Strozzi, Martinelli, Forget with Precision: Assessing Machine
    Unlearning Approaches (ETH Zurich, 2023), section 3.5.
    Reads: the forget set.
    Differs from the official code: labels come from the run's seed, there from an unseeded
    generator.

    Args:
        lr: learning rate (SGD, Nesterov momentum 0.9, constant).
        weight_decay: L2 penalty.
        epochs: passes over the forget set.
        batch_size: examples a step.
        noise_std: regression only: noise in the target's unit; None = standard deviation of the
            forget set's targets.
    """

    requires = ("forget",)

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        noise_std: float | None = None,
    ):
        super().__init__()
        self.stage = Stage(lr, epochs, batch_size, weight_decay)
        self.noise_std = noise_std if noise_std is None else check("noise_std", noise_std, low=0)

    def phases(self) -> list[Phase]:
        data = poisoned(self.data.forget, self.task, self.generator, self.noise_std)
        return [self.stage.phase("poison", data)]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
