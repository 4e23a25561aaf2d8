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


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Let one kernel update all parameters, where the optimizer has one and nobody chose."""
    for group in optimizer.param_groups:
        free = all(group.get(key, True) is None for key in ("fused", "foreach"))
        floats = all(p.is_floating_point() and not p.is_sparse for p in group["params"])
        if free and floats and not group.get("differentiable", False):
            group["fused"] = True
