"""The optimizers that the papers use, by name."""

from functools import partial
from typing import Any, Literal

import torch

from unlearn.recipes.recipe import OptimizerFactory

OptimizerName = Literal["sgd", "momentum", "nesterov", "adam"]


def optimizer(name: OptimizerName, lr: float, weight_decay: float = 0.0) -> OptimizerFactory:
    """A factory from parameters to optimizer.

    Args:
        name: `sgd` plain, `momentum` and `nesterov` SGD with (Nesterov) momentum 0.9, `adam`.
        lr: learning rate.
        weight_decay: L2 penalty, added to the gradient.
    """
    extra: dict[str, Any] = {
        "sgd": {},
        "momentum": {"momentum": 0.9},
        "nesterov": {"momentum": 0.9, "nesterov": True},
        "adam": {},
    }[name]
    kind = torch.optim.Adam if name == "adam" else torch.optim.SGD
    return partial(kind, lr=lr, weight_decay=weight_decay, **extra)
