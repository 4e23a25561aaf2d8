"""SCRUB: away from the teacher on the forget set, towards it on the retain set."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from unlearn.data.splits import Batch
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.distillation import distillation_loss, frozen_copy
from unlearn.methods.parts.optimizers import OptimizerName, optimizer
from unlearn.recipes.recipe import OptimizerFactory


def built_once(factory: OptimizerFactory) -> OptimizerFactory:
    """One optimizer for all phases, so that momentum carries over their boundaries."""
    built: list[torch.optim.Optimizer] = []

    def same(parameters: Iterable[Any]) -> torch.optim.Optimizer:
        if not built:
            built.append(factory(parameters))
        return built[0]

    return same


class SCRUB(UnlearningMethod):
    """Distils the original model into a copy of itself. On the forget set the student is pushed
    away from the teacher, on the retain set it is pulled towards teacher and labels. The first
    epochs have both passes, the last ones only repair.

        maximise: J = -KD;   minimise: J = gamma CE + alpha KD;
        KD = T^2 KL(softmax(teacher / T) || softmax(student / T))

    Source: Kurmanji, Triantafillou, Hayes, Triantafillou, Towards Unbounded Machine Unlearning,
    NeurIPS 2023 (arXiv 2302.09880), as set up by JiT (Foster et al., arXiv 2402.01401).
    Reads: the forget set and the retain set.
    Differs from the official code: schedule, weight averaging and smoothing term are left out, they
    never take effect in so few epochs or have weight zero there. The MUFAC benchmark (Choi, Na,
    arXiv 2311.02240) has the retain pass first (`first: retain`), so its student ends on a forget
    pass, and augments both (`augment=true`).

    Args:
        alpha: weight of the distillation loss on the retain set.
        gamma: weight of cross-entropy on the retain set.
        temperature: of the distillation, > 0.
        lr: learning rate.
        weight_decay: L2 penalty.
        epochs: passes over the retain set.
        maximise_epochs: how many of them have a pass over the forget set too.
        batch_size: examples a step.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
        gradient_clip: largest gradient norm, None = none.
        first: the set, `forget` or `retain`, whose pass comes first in an epoch with both.
    """

    requires = ("retain", "forget")
    tasks = ("classification",)

    def __init__(
        self,
        *,
        alpha: float,
        gamma: float,
        temperature: float,
        lr: float,
        weight_decay: float,
        epochs: int,
        maximise_epochs: int,
        batch_size: int,
        optimizer: OptimizerName = "momentum",
        gradient_clip: float | None = None,
        first: Literal["forget", "retain"] = "forget",
    ):
        super().__init__()
        self.alpha = check("alpha", alpha, low=0)
        self.gamma = check("gamma", gamma, low=0)
        self.temperature = check("temperature", temperature, low=0, open_low=True)
        self.lr = check("lr", lr, low=0, open_low=True)
        self.weight_decay = check("weight_decay", weight_decay, low=0)
        self.epochs = int(check("epochs", epochs, low=1))
        self.maximise_epochs = int(check("maximise_epochs", maximise_epochs, low=0, high=epochs))
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.optimizer, self.gradient_clip, self.first = optimizer, gradient_clip, first

    def prepare(self) -> None:
        self.teacher = frozen_copy(self.net)

    def phases(self) -> list[Phase]:
        shared: dict[str, Any] = {
            "epochs": 1,
            "batch_size": self.batch_size,
            "optimizer": built_once(optimizer(self.optimizer, self.lr, self.weight_decay)),
            "gradient_clip": self.gradient_clip,
        }
        maximise = Phase("maximise", data="forget", loss=self.maximise, **shared)
        minimise = Phase("minimise", data="retain", loss=self.minimise, **shared)
        both = [maximise, minimise] if self.first == "forget" else [minimise, maximise]
        return both * self.maximise_epochs + [minimise] * (self.epochs - self.maximise_epochs)

    def distill(self, outputs: Tensor, x: Tensor) -> Tensor:
        """Distillation loss of student outputs on `x`."""
        with torch.no_grad():
            teacher = self.teacher(x)
        return distillation_loss(outputs, teacher, self.temperature)

    def maximise(self, batch: Batch) -> Tensor:
        return -self.distill(self.net(batch.x), batch.x)

    def minimise(self, batch: Batch) -> Tensor:
        outputs = self.net(batch.x)
        entropy = self.task.criterion(outputs, batch.y)
        return self.gamma * entropy + self.alpha * self.distill(outputs, batch.x)
