"""Batch norm and max pooling of stacked networks, without copies.

Under `torch.func.vmap` a convolution of M stacked networks is one grouped convolution whose output
holds the channels of all members side by side, `(B, M C, H, W)`. The stock rules for the layers
that follow bring it into another layout first (pooling), or take the affine part out of the fused
kernel (batch norm), which on CPUs costs more than the convolution. Both treat every channel on its
own, so the merged channels can be handed to the ordinary kernel as they are.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


def merge(x: Tensor, member_axis: int | None, members: int) -> Tensor:
    """`(B, C, ...)` of every member to `(B, M C, ...)`."""
    if member_axis is None:
        x, member_axis = x.expand(members, *x.shape), 0
    return x.movedim(member_axis, 1).flatten(1, 2)


def flat(x: Tensor | None, member_axis: int | None, members: int) -> Tensor | None:
    """Per-channel values `(C,)` of every member to `(M C,)`, a view where they are stacked."""
    if x is None:
        return None
    return x.repeat(members) if member_axis is None else x.movedim(member_axis, 0).flatten()


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, *settings: Any) -> Tensor:
        return F.max_pool2d(x, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("gradients inside a stacked loss are not supported")

    @staticmethod
    def vmap(info: Any, axes: Any, x: Tensor, *settings: Any) -> tuple[Tensor, int]:
        members = info.batch_size
        pooled = F.max_pool2d(merge(x, axes[0], members), *settings)
        return pooled.unflatten(1, (members, -1)), 1


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, *rest: Any) -> Tensor:
        return F.batch_norm(x, *rest)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("gradients inside a stacked loss are not supported")

    @staticmethod
    def vmap(info: Any, axes: Any, x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        members = info.batch_size
        channels = [flat(t, axis, members) for t, axis in zip(rest[:4], axes[1:5], strict=True)]
        arguments: tuple[Any, ...] = (*channels, *rest[4:])
        normed = F.batch_norm(merge(x, axes[0], members), *arguments)
        return normed.unflatten(1, (members, -1)), 1


def max_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`F.max_pool2d` of `(B, C, H, W)` under vmap."""
    settings: tuple[Any, ...] = (kernel_size, stride, padding, dilation, ceil_mode)
    if return_indices or x.dim() != 4:
        return F.max_pool2d(x, *(*settings, return_indices))
    return _MaxPool.apply(x, *settings)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` under vmap."""
    return _BatchNorm.apply(x, running_mean, running_var, weight, bias, training, momentum, eps)


class MergedChannels(TorchFunctionMode):
    """While it is active, stacked batch norm and max pooling take the merged channels."""

    merged = {F.batch_norm: batch_norm, F.max_pool2d: max_pool2d}

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return self.merged.get(function, function)(*args, **(kwargs or {}))
