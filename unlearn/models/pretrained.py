"""Pretrained weights, and first layers for images that are not RGB."""

import functools
import logging

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from unlearn.errors import UserError

log = logging.getLogger(__name__)


@functools.cache
def fetch_weights(weights: WeightsEnum) -> dict[str, Tensor]:
    """Download torchvision weights, or read them from torch's cache.

    Raises:
        UserError: they cannot be had here.
    """
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except Exception as error:
        raise UserError(
            f"pretrained weights {weights} cannot be downloaded ({error}): put the file of "
            f"{weights.url} into {torch.hub.get_dir()}/checkpoints, or give model.pretrained=false"
        ) from error


def load_weights(net: nn.Module, weights: WeightsEnum) -> None:
    """Copy pretrained weights into `net` wherever name and shape agree; logs what does not."""
    own = net.state_dict()
    given = fetch_weights(weights)
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    net.load_state_dict(fitting, strict=False)
    fresh = sorted(own.keys() - fitting.keys())
    log.info("%s: %d tensors loaded, from scratch: %s", weights, len(fitting), ", ".join(fresh))


def adapt_channels(net: nn.Module, in_channels: int) -> nn.Module:
    """Give an RGB network a new first convolution where images have other than 3 channels."""
    if in_channels == 3:
        return net
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d):
            new = nn.Conv2d(
                in_channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                stride=layer.stride,  # type: ignore[arg-type]
                padding=layer.padding,  # type: ignore[arg-type]
                bias=layer.bias is not None,
            )
            parent, _, child = name.rpartition(".")
            setattr(net.get_submodule(parent), child, new)
            return net
    raise ValueError("net: it has no convolution whose input channels could be changed")
