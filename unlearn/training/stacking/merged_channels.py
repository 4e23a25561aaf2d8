"""Layers of stacked networks, without copies and in the precision of automatic casts.

Under `torch.func.vmap` a convolution of M stacked networks is one grouped convolution whose output
holds the channels of all members side by side, `(B, M C, H, W)`. The stock rules for the layers
that follow bring it into another layout first (pooling), or take the affine part out of the fused
kernel (batch norm), which on CPUs costs more than the convolution. Both treat every channel on its
own, so the merged channels can be handed to the ordinary kernel as they are. The stock rules of
convolutions and linear layers bypass automatic casts; the ones here call operations that have them.
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


def own(x: Tensor, member_axis: int | None, members: int) -> Tensor:
    """A leading member axis, whatever there was."""
    return x.expand(members, *x.shape) if member_axis is None else x.movedim(member_axis, 0)


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


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, *rest: Any) -> Tensor:
        return F.conv2d(x, *rest)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("gradients inside a stacked loss are not supported")

    @staticmethod
    def vmap(info: Any, axes: Any, x: Tensor, *rest: Any) -> tuple[Tensor, int]:
        weight, bias, stride, padding, dilation, groups = rest
        members = info.batch_size
        kernels = own(weight, axes[1], members).flatten(0, 1)
        offsets = flat(bias, axes[2], members)
        merged = merge(x, axes[0], members)
        result: Tensor = F.conv2d(
            merged, kernels, offsets, stride, padding, dilation, groups * members
        )
        return result.unflatten(1, (members, -1)), 1


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise NotImplementedError("gradients inside a stacked loss are not supported")

    @staticmethod
    def vmap(
        info: Any, axes: Any, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, int]:
        members = info.batch_size
        inputs = own(x, axes[0], members)
        rows = inputs.flatten(1, -2)
        matrices = own(weight, axes[1], members).mT
        if bias is None:
            result = torch.bmm(rows, matrices)
        else:
            result = torch.baddbmm(own(bias, axes[2], members)[:, None], rows, matrices)
        return result.view(*inputs.shape[:-1], -1), 0


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """`F.conv2d` of `(B, C, H, W)` under vmap."""
    if x.dim() != 4:
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)
    return _Convolution.apply(x, weight, bias, stride, padding, dilation, groups)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of `(B, ..., C)` under vmap."""
    if x.dim() < 2:
        return F.linear(x, weight, bias)
    return _Linear.apply(x, weight, bias)


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
    """While it is active, stacked networks use the layers of this file.

    Args:
        casting: automatic casts are on, so convolutions and linear layers are needed too.
    """

    def __init__(self, casting: bool):
        super().__init__()
        self.layers: dict[Any, Any] = {F.batch_norm: batch_norm, F.max_pool2d: max_pool2d}
        if casting:
            self.layers |= {F.conv2d: conv2d, F.linear: linear}

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return self.layers.get(function, function)(*args, **(kwargs or {}))
