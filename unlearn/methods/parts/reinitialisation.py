"""Redrawing weights: which ones, from what distribution, and the repair that follows."""

import copy
import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from unlearn.data.splits import Batch, Split
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.methods.parts.stage import Stage

Order = Literal["shuffled", "source"]


def quantile(values: Tensor, share: float) -> Tensor:
    """The `share` quantile of all entries, interpolated linearly, for tensors of any size.

    torch.quantile stops at 16 million entries; the first linear layer of a VGG has 100 million.
    """
    flat = values.flatten()
    position = share * (flat.numel() - 1)
    below = math.floor(position)
    low = flat.kthvalue(below + 1).values
    high = flat.kthvalue(min(below + 2, flat.numel())).values
    return torch.lerp(low, high, position - below)


@torch.no_grad()
def similar(weight: Tensor, twin: Tensor, share: float) -> Tensor:
    """Mask of the entries that moved least: |weight - twin| strictly below its own quantile.

    Args:
        weight: any shape.
        twin: same shape, the weight after training a copy of the network on something.
        share: quantile in [0, 1]; about this share of the entries is selected.
    """
    distance = (weight - twin).abs()
    return distance < quantile(distance, share)


@torch.no_grad()
def redraw_(weight: Tensor, mask: Tensor, generator: torch.Generator) -> None:
    """Replace masked entries by a Kaiming-normal draw: variance 2 / fan-in of the whole tensor.

    Args:
        weight: `(out, in, ...)`, at least two dimensions, changed in place.
        mask: broadcastable to the weight; True = redraw.
        generator: on the weight's device.
    """
    fan_in = weight[0].numel()
    fresh = torch.randn(
        weight.shape, generator=generator, device=weight.device, dtype=weight.dtype
    ).mul_(math.sqrt(2 / fan_in))
    weight.copy_(torch.where(mask, fresh, weight))


def overfitting(
    name: str, method: UnlearningMethod, data: str | Split, stage: Stage
) -> tuple[nn.Module, Phase]:
    """A twin of a method's network, and the phase that overfits it on a few examples.

    The method holds the twin under the phase's name, so that checkpoints hold it too.
    """
    twin = copy.deepcopy(method.net).train()
    method.add_module(name, twin)

    def loss(batch: Batch) -> Tensor:
        return method.task.criterion(twin(batch.x), batch.y)

    return twin, stage.phase(name, data, loss=loss, parameters=list(twin.parameters()))


def repair(stage: Stage, order: Order, before: Callable[[], None] | None = None) -> Phase:
    """Training on the retain set that mends what an edit broke; the loss is the method's.

    Args:
        stage: how it trains.
        order: `shuffled`, or `source`: the stored order every epoch, as in the authors' code.
        before: the edit, when it comes between two phases.
    """
    stored = "stored" if order == "source" else "shuffled"
    return stage.phase("repair", "retain", order=stored, before=before)
