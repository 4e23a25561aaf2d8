"""Finding layers in any network, and reading what flows through them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unlearn.data.splits import Batch
from unlearn.errors import UserError

SHORTCUTS = ("shortcut", "downsample")


def last_linear(net: nn.Module) -> nn.Linear:
    """The linear layer registered last, which is the output layer of a classifier.

    Raises:
        UserError: the network has no linear layer.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UserError(
            "this method edits or reads the last linear layer, and the network has none: choose "
            "another model or method"
        )
    return layers[-1]


def main_path_convolutions(net: nn.Module) -> list[nn.Conv2d]:
    """Convolutions in order of registration, without those on shortcuts of residual blocks.

    A convolution lies on a shortcut when its name passes through `shortcut` or `downsample`.
    """
    return [
        module
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and not any(part in SHORTCUTS for part in name.split("."))
    ]


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        handle.remove()


@torch.no_grad()
def penultimate_features(net: nn.Module, batches: Iterable[Batch]) -> Iterator[Tensor]:
    """What enters the last linear layer, `(B, D)` of unit length, batch by batch.

    Args:
        net: network, in the mode it should be read in.
        batches: batches; only their images are used.
    """
    layer = last_linear(net)
    for batch in batches:
        with _inputs_of(layer) as seen:
            net(batch.x)
        yield nn.functional.normalize(seen[-1].flatten(1), dim=1)


@torch.no_grad()
def mean_outputs(
    net: nn.Module, layers: Sequence[nn.Module], batches: Iterable[Batch]
) -> list[Tensor]:
    """Mean output of each layer over all examples, `(channels, H, W)`, from running sums.

    Args:
        net: network, in the mode it should be read in.
        layers: modules of it.
        batches: batches; only their images are used.
    """
    sums: dict[nn.Module, Tensor] = {}
    examples = 0

    def add(layer: nn.Module, _: object, output: Tensor) -> None:
        total = output.sum(0)
        sums[layer] = sums[layer] + total if layer in sums else total

    handles = [layer.register_forward_hook(add) for layer in layers]
    try:
        for batch in batches:
            net(batch.x)
            examples += len(batch.y)
    finally:
        for handle in handles:
            handle.remove()
    return [sums[layer] / examples for layer in layers]
