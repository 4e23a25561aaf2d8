"""Fine-tuning on the retain set, and forgetting by neglect."""

from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.optimizers import OptimizerName, optimizer


class Finetune(UnlearningMethod):
    """Goes on training the original model on the retain set only, and relies on what is not
    rehearsed being forgotten. The usual baseline: cheap, keeps accuracy, forgets little.

        J = L_r

    Source: the report of GISA, section 4.1; "Forget with Precision" (ETH Zurich, 2023), section
    3.5; JiT (Foster et al., arXiv 2402.01401) with the values in conf/tuned.
    Reads: the retain set.
    Differs from the official code: none known in the step. The MUFAC benchmark (arXiv 2311.02240)
    augments the retain set (`augment=true`).

    Args:
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over the retain set.
        batch_size: examples a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
    """

    requires = ("retain",)
    stacks = True

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "nesterov",
    ):
        super().__init__()
        self.lr = check("lr", lr, low=0, open_low=True)
        self.weight_decay = check("weight_decay", weight_decay, low=0)
        self.epochs = int(check("epochs", epochs, low=1))
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.optimizer = optimizer

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "finetune",
                data="retain",
                epochs=self.epochs,
                batch_size=self.batch_size,
                optimizer=optimizer(self.optimizer, self.lr, self.weight_decay),
            )
        ]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
