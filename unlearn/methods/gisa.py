"""GISA: gradient descent on L_r^2 / L_f with importance-scaled learning rates."""

from typing import Literal

import torch
from torch import Tensor

from unlearn.data.splits import Pair
from unlearn.methods.base import Phase, UnlearningMethod, check
from unlearn.methods.parts.importance import batch_importances
from unlearn.methods.parts.optimizers import OptimizerName, optimizer

EPSILON = 1e-8


def rate_factor(forget: Tensor, retain: Tensor, granularity: str = "tensor") -> Tensor:
    """Factor of the learning rate from importances of one parameter tensor.

    1 + max(log(I_f / (I_r + eps)), 0), averaged over the tensor unless `granularity` is `element`.

    Args:
        forget: importances on the forget set, any shape, >= 0.
        retain: importances on the retain set, same shape.
        granularity: `tensor` for one factor `()`, `element` for one per entry.
    """
    tiny = torch.finfo(forget.dtype).tiny
    logs = (forget.clamp_min(tiny) / (retain + EPSILON)).log().clamp_min(0)
    return 1 + (logs.mean() if granularity == "tensor" else logs)


class GISA(UnlearningMethod):
    """Trains for one epoch on pairs of retain and forget batches, so that the retain loss falls
    while the forget loss rises. Parameters that matter more to the forget set than to the retain
    set move faster. Importances are computed once, before training.

        J = L_r^2 / (L_f + eps),   rate_i = rate (1 + mean(max(log(I_f,i / (I_r,i + eps)), 0)))

    Source: Y. Suprun, final report of the repository MachineUnlearning (Rice University, COMP
    540), section 4.5, equations 11-13.
    Reads: the forget set and the retain set.
    Differs from the official code: only the report is public. The report's text says that such
    parameters get a dampened rate, its equation amplifies them: the equation is followed. The mean
    is taken over the elements of a parameter tensor, the only reading in which it has a meaning.

    Args:
        lr: base learning rate.
        weight_decay: L2 penalty of the optimizer.
        epochs: passes over the longer of the two sets.
        batch_size: examples of each set a step, and of importances.
        granularity: `tensor`, one rate a parameter tensor; `element`, gradients scaled one by one.
        optimizer: `sgd`, `momentum`, `nesterov` or `adam`.
        gradient_clip: largest gradient norm, None = none.
    """

    requires = ("retain", "forget")
    stacks = True

    def __init__(
        self,
        *,
        lr: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        granularity: Literal["tensor", "element"] = "tensor",
        optimizer: OptimizerName = "adam",
        gradient_clip: float | None = None,
    ):
        super().__init__()
        self.lr = check("lr", lr, low=0, open_low=True)
        self.weight_decay = check("weight_decay", weight_decay, low=0)
        self.epochs = int(check("epochs", epochs, low=1))
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.granularity, self.optimizer, self.gradient_clip = granularity, optimizer, gradient_clip

    def prepare(self) -> None:
        importances = [
            batch_importances(
                self.net,
                self.task,
                self.data.loader(split, self.batch_size, device=self.device, last_batch="spread"),
            )
            for split in (self.data.forget, self.data.retain)
        ]
        self.factors = {
            name: rate_factor(forget, importances[1][name], self.granularity)
            for name, forget in importances[0].items()
        }

    def phases(self) -> list[Phase]:
        groups = [
            {
                "params": [parameter],
                "lr": self.lr * (float(self.factors[name]) if self.granularity == "tensor" else 1),
            }
            for name, parameter in self.net.named_parameters()
            if name in self.factors
        ]
        return [
            Phase(
                "gisa",
                data="paired",
                epochs=self.epochs,
                batch_size=self.batch_size,
                optimizer=optimizer(self.optimizer, self.lr, self.weight_decay),
                parameters=groups,
                gradient_clip=self.gradient_clip,
            )
        ]

    def loss(self, batch: Pair) -> Tensor:
        retain = self.task.criterion(self.net(batch.retain.x), batch.retain.y)
        forget = self.task.criterion(self.net(batch.forget.x), batch.forget.y)
        return retain.square() / (forget + EPSILON)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.granularity == "element":
            for name, parameter in self.net.named_parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(self.factors[name])
