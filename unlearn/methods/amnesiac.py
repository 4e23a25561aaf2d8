"""Amnesiac unlearning: training on wrong labels for the forget set."""

import torch
from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.optimizers import OptimizerName, optimizer


def wrong_labels(
    labels: Tensor, num_classes: int, banned: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """A label for every example, uniform over the classes that are neither its own nor banned.

    Args:
        labels: true classes `(N,)`, int64, on the CPU.
        num_classes: how many classes there are.
        banned: classes that nobody may get.
        generator: CPU generator of the draw.

    Raises:
        ValueError: `banned` leaves some example without a class.
    """
    allowed = torch.ones(len(labels), num_classes)
    allowed[:, list(banned)] = 0
    allowed.scatter_(1, labels[:, None], 0)
    if not allowed.any(1).all():
        raise ValueError("banned leaves some example without a class")
    return allowed.multinomial(1, generator=generator).squeeze(1)


class Amnesiac(UnlearningMethod):
    """Gives every forget image a random wrong label, drawn once, and goes on training on the whole
    training set. When a whole class is forgotten, no image gets that class. What was learned about
    the images is overwritten, while the retain set keeps the rest in place.

        J = mean over the retain set of CE(f(x), y) and over the forget set of CE(f(x), y_wrong)

    Source: Graves, Nagisetty, Ganesh, Amnesiac Machine Learning, AAAI 2021 (arXiv 2010.10981), as
    set up by JiT (Foster et al., arXiv 2402.01401).
    Reads: the forget set and the retain set.
    Differs from the official code: none known; the paper of 2021 instead takes back recorded
    updates, which needs a log of the original training.

    Args:
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over the relabelled training set.
        batch_size: examples a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
    """

    requires = ("retain", "forget")
    tasks = ("classification",)

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "adam",
    ):
        super().__init__()
        self.lr = check("lr", lr, low=0, open_low=True)
        self.weight_decay = check("weight_decay", weight_decay, low=0)
        self.epochs = int(check("epochs", epochs, low=1))
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.optimizer = optimizer

    def prepare(self) -> None:
        forget = self.data.forget
        labels = wrong_labels(
            forget.targets, self.task.num_outputs, self.data.forget_classes, self.generator
        )
        self.relabelled = self.data.retain + forget.with_targets(labels)

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "relabelled",
                data=self.relabelled,
                epochs=self.epochs,
                batch_size=self.batch_size,
                optimizer=optimizer(self.optimizer, self.lr, self.weight_decay),
            )
        ]

    def loss(self, batch: Batch) -> Tensor:
        return self.task.criterion(self.net(batch.x), batch.y)
