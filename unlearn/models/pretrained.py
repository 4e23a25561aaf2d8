"""Pretrained weights, and first layers for images that are not RGB."""

import functools
import hashlib
import io
import logging
import pickle
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from unlearn.errors import UserError

log = logging.getLogger(__name__)


@functools.cache
def fetch_weights(weights: WeightsEnum) -> dict[str, Tensor]:
    """Download torchvision weights, or read them from torch's cache.

    The file's name holds the first digits of its SHA-256, which is compared whenever it is read;
    only tensors are unpickled, so that no file can run code.

    Raises:
        UserError: they cannot be had here, or the file in the cache is another one.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(weights.url).name
    digits = path.stem.rpartition("-")[2]
    if not path.exists():
        _download(weights, path, digits)
    try:
        content = path.read_bytes()
        if not hashlib.sha256(content).hexdigest().startswith(digits):
            raise UserError(
                f"{path} is not what {weights.url} holds (SHA-256 {digits}...): delete it, and it "
                "is downloaded again"
            )
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"pretrained weights: {path} cannot be read ({error.strerror})") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} holds something else than weights ({why}): delete it") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"{path} holds something else than weights: delete it")
    return state


def _download(weights: WeightsEnum, path: Path, digits: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(weights.url, str(path), digits, progress=False)
    except Exception as error:
        raise UserError(
            f"pretrained weights {weights} cannot be downloaded ({error}): put the file of "
            f"{weights.url} into {path.parent}, or give model.pretrained=false"
        ) from error


def load_weights(net: nn.Module, weights: WeightsEnum) -> None:
    """Copy pretrained weights into `net` wherever name and shape agree; logs what does not.

    Raises:
        UserError: nothing agrees, so that the network would start from scratch after all.
    """
    own = net.state_dict()
    given = fetch_weights(weights)
    fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not any(value.ndim for value in fitting.values()):  # counters of batch norm always fit
        raise UserError(
            f"model.pretrained: not one tensor of {weights} fits this network; give "
            "model.pretrained=false"
        )
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
