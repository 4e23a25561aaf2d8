"""Other people's networks: what they answer, and how to start them anew."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.errors import UserError


class Logits(nn.Module):
    """A network that answers with an object, as one that answers with a tensor.

    Args:
        net: returns a tensor, a mapping with `logits`, or an object with that attribute.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(B, C)`."""
        return logits_of(self.net(x))


def logits_of(answer: Any) -> Tensor:
    """The logits in what a network returned.

    Raises:
        UserError: there are none.
    """
    if isinstance(answer, Tensor):
        return answer
    found = answer.get("logits") if isinstance(answer, Mapping) else None
    found = getattr(answer, "logits", None) if found is None else found
    if isinstance(found, Tensor):
        return found
    raise UserError(
        f"the network returns {type(answer).__name__}; it must return a tensor of logits (B, C), "
        "or a mapping or an object that has them as 'logits'"
    )


@torch.no_grad()
def answers_tensor(net: nn.Module, example: Tensor, name: str) -> tuple[bool, int]:
    """Try a network on one example.

    Args:
        net: is put in evaluation mode.
        example: network input `(1, ...)`.
        name: of the argument that the network came as, for messages.

    Returns:
        Whether it answers with a bare tensor, and the number of outputs.

    Raises:
        UserError: it cannot be run, or does not answer with `(B, C)` finite numbers.
    """
    shape = tuple(example.shape[1:])
    try:
        answer = net.eval()(example.to(device_of(net)))
    except (RuntimeError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{name}: the network cannot be run on an example of shape {shape} and type "
            f"{example.dtype}: {reason}"
        ) from error
    try:
        logits = logits_of(answer)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    if logits.ndim != 2 or logits.shape[0] != 1 or not logits.is_floating_point():
        raise UserError(
            f"{name}: for one example the network answers {logits.dtype} of shape "
            f"{tuple(logits.shape)}; logits of shape (1, classes) are needed"
        )
    if not bool(logits.isfinite().all()):
        raise UserError(f"{name}: the network's answers are not finite")
    return isinstance(answer, Tensor), logits.shape[1]


def device_of(net: nn.Module) -> torch.device:
    """Where a network lies; the CPU where it has no weights."""
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def dtype_of(net: nn.Module) -> torch.dtype:
    """The floating type of a network's first floating weight; float32 where it has none."""
    return next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.float32)


def reinitialised(net: nn.Module) -> nn.Module:
    """A copy with every weight drawn anew by its layer.

    Raises:
        UserError: a layer has weights and no `reset_parameters`.
    """
    copied = copy.deepcopy(net)
    for name, module in copied.named_modules():
        own = [key for key, _ in module.named_parameters(recurse=False)]
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
        elif own:
            raise UserError(
                f"a freshly initialised network is needed, and the layer {name!r} "
                f"({type(module).__name__}) has no reset_parameters(); give fresh=, a function "
                "that makes one"
            )
    return copied


def check_alike(nets: Sequence[tuple[str, nn.Module]]) -> None:
    """Refuse networks of several architectures.

    Args:
        nets: argument and network; all are compared with the first.

    Raises:
        UserError: weights that only one of two has, or of another shape.
    """
    first_name, first = nets[0]
    shapes = {key: tuple(value.shape) for key, value in first.state_dict().items()}
    for name, net in nets[1:]:
        own = {key: tuple(value.shape) for key, value in net.state_dict().items()}
        if own != shapes:
            key = next(k for k in {**shapes, **own} if own.get(k) != shapes.get(k))
            raise UserError(
                f"{name} is of another architecture than {first_name}: {key} is "
                f"{own.get(key, 'missing')} there and {shapes.get(key, 'missing')} here"
            )
