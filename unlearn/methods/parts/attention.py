"""Attention maps of convolutions: where in an image a network is active."""

import torch.nn.functional as F
from torch import Tensor, nn


def attention_map(activations: Tensor) -> Tensor:
    """Mean over channels of the squared activation, flattened to unit length.

    Args:
        activations: `(B, K, H, W)`.

    Returns:
        `(B, H W)`, rows of length one (zero where nothing is active), >= 0.
    """
    return F.normalize(activations.square().mean(1).flatten(1), dim=1)


def outputs_and_attention(net: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Outputs of a network and the attention maps of its convolutions in order of use."""
    maps: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda _, __, output: maps.append(attention_map(output)))
        for module in net.modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        return net(x), maps
    finally:
        for hook in hooks:
            hook.remove()
