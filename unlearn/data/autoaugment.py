"""AutoAugment's CIFAR-10 policy, batched: every image gets its own sub-policy."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import AutoAugment as TorchvisionAutoAugment
from torchvision.transforms import AutoAugmentPolicy

from unlearn.data.augment import blend, grey, like, to_unit, warp

# Magnitude of every operation at level 0 and at level 9; levels between are evenly spaced.
GEOMETRIC = {
    "ShearX": 0.3,
    "ShearY": 0.3,
    "TranslateX": 150 / 331,  # of the side
    "TranslateY": 150 / 331,
    "Rotate": 30.0,  # degrees
}
ENHANCING = ("Brightness", "Color", "Contrast", "Sharpness")  # factor 1 +- 0.9 at level 9
PLAIN = ("Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")
OPERATIONS = (*GEOMETRIC, *ENHANCING, *PLAIN)


class AutoAugment:
    """One of 25 sub-policies an image, each two operations that happen with some probability.

    Works on RGB images. Operations are computed once for all images of the batch that drew them.
    Source: E. Cubuk et al., AutoAugment, CVPR 2019 (arXiv 1805.09501); policy and magnitudes as in
    torchvision.
    """

    def __init__(self) -> None:
        policies = TorchvisionAutoAugment(AutoAugmentPolicy.CIFAR10).policies
        names = {name: number for number, name in enumerate(OPERATIONS)}
        # (25, 2): operation, probability, level of both steps.
        self.operation = torch.tensor([[names[step[0]] for step in steps] for steps in policies])
        self.probability = torch.tensor([[step[1] for step in steps] for steps in policies])
        self.level = torch.tensor([[step[2] or 0 for step in steps] for steps in policies])

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        draws = torch.rand((len(images), 5), generator=generator, device=images.device)
        draws = draws.cpu()  # the only wait for the device: which images need which operation
        choice = (draws[:, 0] * len(self.operation)).long()
        out = to_unit(images).clone()
        for step in (0, 1):
            happens = draws[:, 1 + step] < self.probability[choice, step]
            sign = torch.where(draws[:, 3 + step] < 0.5, -1.0, 1.0)
            operation = torch.where(happens, self.operation[choice, step], -1)
            for number in operation.unique().tolist():
                if number < 0:
                    continue
                rows = (operation == number).nonzero().squeeze(1)
                level, signs = self.level[choice[rows], step], sign[rows].to(images.device)
                rows, level = rows.to(images.device), level.to(images.device)
                out[rows] = apply(OPERATIONS[number], out[rows], level, signs)
        return like(out, images)


def apply(operation: str, values: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """One operation on float images in [0, 1].

    Args:
        operation: one of `OPERATIONS`.
        values: `(B, 3, H, W)`.
        level: `(B,)` whole numbers 0 to 9.
        sign: `(B,)` -1 or 1, for operations that go both ways.
    """
    if operation in GEOMETRIC:
        return _geometric(operation, values, sign * GEOMETRIC[operation] * level / 9)
    if operation in ENHANCING:
        return _enhanced(operation, values, 1 + sign * 0.9 * level / 9)
    stored = (values * 255).round()
    if operation == "Posterize":
        step = 2.0 ** (level / 2.25).round()  # 8 bits at level 0, 4 at level 9
        step = step[:, None, None, None]
        changed = (stored / step).floor() * step
    elif operation == "Solarize":
        threshold = (255 - 255 * level / 9)[:, None, None, None]
        changed = torch.where(stored >= threshold, 255 - stored, stored)
    elif operation == "AutoContrast":
        low, high = stored.amin((2, 3), keepdim=True), stored.amax((2, 3), keepdim=True)
        stretched = (stored - low) * (255 / (high - low).clamp(min=1))
        changed = torch.where(high > low, stretched, stored)
    elif operation == "Equalize":
        changed = equalize(stored)
    else:
        changed = 255 - stored
    return changed / 255


def _geometric(operation: str, values: Tensor, amount: Tensor) -> Tensor:
    matrix = torch.eye(2, device=values.device).repeat(len(values), 1, 1)
    shift = torch.zeros(len(values), 2, device=values.device)
    if operation == "Rotate":
        angle = -amount.deg2rad()
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([cos, sin, -sin, cos], 1).view(-1, 2, 2)
    elif operation.startswith("Shear"):
        # The upper left corner stays where it is.
        axis, along = (0, 1) if operation == "ShearX" else (1, 0)
        matrix[:, axis, along] = amount
        shift[:, axis] = amount
    else:
        pixels = (amount * values.shape[-1]).trunc()
        shift[:, 0 if operation == "TranslateX" else 1] = -2 * pixels / values.shape[-1]
    return warp(values, matrix, shift, mode="nearest")


def _enhanced(operation: str, values: Tensor, factor: Tensor) -> Tensor:
    if operation == "Brightness":
        other = torch.zeros_like(values)
    elif operation == "Color":
        other = grey(values)
    elif operation == "Contrast":
        other = grey(values).mean((1, 2, 3), keepdim=True)
    else:  # Sharpness: blend with a smoothed image, whose border stays as it is
        kernel = torch.ones(3, 3, device=values.device)
        kernel[1, 1] = 5
        weight = (kernel / 13).expand(values.shape[1], 1, 3, 3)
        other = values.clone()
        other[..., 1:-1, 1:-1] = F.conv2d(values, weight, groups=values.shape[1])
    return blend(values, other, factor)


def equalize(stored: Tensor) -> Tensor:
    """Spread every channel's histogram evenly over 0..255, as Pillow does.

    Args:
        stored: `(B, C, H, W)` whole numbers 0 to 255.
    """
    flat = stored.flatten(0, 1).flatten(1).long()
    histogram = torch.zeros(len(flat), 256, dtype=torch.int64, device=flat.device)
    histogram.scatter_add_(1, flat, torch.ones_like(flat))
    # Pixels of the brightest value present do not count for the step.
    last = histogram.gather(1, flat.amax(1, keepdim=True))
    step = (flat.shape[1] - last) // 255
    table = (histogram.cumsum(1) + step // 2) // step.clamp(min=1)
    table = F.pad(table, (1, 0))[:, :-1].clamp(0, 255)
    spread = torch.where(step > 0, table.gather(1, flat), flat)
    return spread.view(stored.shape).to(stored.dtype)
