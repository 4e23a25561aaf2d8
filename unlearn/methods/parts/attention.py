"""Attention maps of convolutions: where in an image a network is active."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d)


def attention_map(activations: Tensor) -> Tensor:
    """Mean over channels of the squared activation, flattened to unit length.

    Args:
        activations: `(B, K, H, W)`.

    Returns:
        `(B, H W)`, rows of length one (zero where nothing is active), >= 0.
    """
    return F.normalize(activations.square().mean(1).flatten(1), dim=1)


def outputs_and_attention(net: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs of a network and the attention maps of its convolutions in order of use.

    A map is that of the activation: the convolution's output, normalised where the next module is a
    normalisation, after a ReLU. It is taken before the network goes on, which may overwrite it.
    """
    maps: list[Tensor] = []
    last: list[Tensor] = []  # the raw output that the latest map is of

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            maps.append(attention_map(F.relu(output)))
            last[:] = [output]
        elif last and inputs[0] is last[0]:
            maps[-1] = attention_map(F.relu(output))

    hooks = [
        module.register_forward_hook(keep)
        for module in net.modules()
        if isinstance(module, (nn.Conv2d, *NORMS))
    ]
    try:
        return net(x), maps
    finally:
        for hook in hooks:
            hook.remove()
