"""Batched augmentation of stored pixels: `(B, C, H, W)` in, the same shape and type out.

Every image gets its own random draw from the given generator, on the device the images lie on.
Pixels are uint8, or floating in [0, 1].
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn.errors import UserError

# Weights of RGB in a grey image, ITU-R 601-2.
LUMA = (0.299, 0.587, 0.114)


def uniform(images: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """One number an image, `(B,)` float32, uniform in [low, high)."""
    draw = torch.rand(len(images), generator=generator, device=images.device)
    return low + (high - low) * draw


def to_unit(images: Tensor) -> Tensor:
    """Pixels as floats in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def like(values: Tensor, images: Tensor) -> Tensor:
    """Floats in [0, 1] in the type of `images`."""
    if images.dtype == torch.uint8:
        return (values * 255).round_().clamp_(0, 255).to(torch.uint8)
    return values.clamp(0, 1).to(images.dtype)


def grey(images: Tensor) -> Tensor:
    """`(B, 1, H, W)` brightness of RGB images; grey images as they are."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


class HorizontalFlip:
    """Mirrors each image left to right.

    Args:
        probability: in [0, 1].
    """

    def __init__(self, probability: float = 0.5):
        if not 0 <= probability <= 1:
            raise UserError(f"HorizontalFlip: probability must lie in [0, 1], got {probability}")
        self.probability = probability

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        flip = uniform(images, 0, 1, generator) < self.probability
        return torch.where(flip[:, None, None, None], images.flip(-1), images)


class RandomCrop:
    """Shifts each image by up to `padding` pixels in both directions.

    Args:
        padding: largest shift in pixels.
        mode: what appears at the border: `zero`, or the `reflect`-ed image.
    """

    def __init__(self, padding: int, mode: Literal["zero", "reflect"] = "zero"):
        if padding < 1:
            raise UserError(f"RandomCrop: padding must be at least 1, got {padding}")
        self.padding, self.mode = padding, mode

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        batch, channels, height, width = images.shape
        if self.padding >= min(height, width):
            raise UserError(f"RandomCrop: padding {self.padding} is too much for {width} pixels")
        shift = torch.randint(
            -self.padding,
            self.padding + 1,
            (2, batch, 1),
            generator=generator,
            device=images.device,
        )
        rows = torch.arange(height, device=images.device) + shift[0]
        columns = torch.arange(width, device=images.device) + shift[1]
        inside = None
        if self.mode == "zero":
            inside = ((rows >= 0) & (rows < height))[:, None, :, None] & (
                (columns >= 0) & (columns < width)
            )[:, None, None, :]
        rows, columns = _reflected(rows, height), _reflected(columns, width)
        # Row of the flattened images, then column: two gathers are faster than one 4-D index.
        flat = (columns[:, None, :] + rows[:, :, None] * width).view(batch, 1, -1)
        moved = images.flatten(2).gather(2, flat.expand(-1, channels, -1)).view_as(images)
        return moved if inside is None else moved * inside


def _reflected(index: Tensor, size: int) -> Tensor:
    """Indices outside 0..size-1 mirrored at the border pixels."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


class RandomAffine:
    """Rotates, shears and scales each image about its centre; empty corners turn black.

    Args:
        degrees: largest rotation either way.
        shear: largest horizontal shear angle either way, in degrees.
        scale: smallest and largest factor.
    """

    def __init__(
        self, degrees: float = 0.0, shear: float = 0.0, scale: tuple[float, float] = (1.0, 1.0)
    ):
        if not 0 < scale[0] <= scale[1]:
            raise UserError(f"RandomAffine: scale must be two rising positive numbers, got {scale}")
        if not (0 <= degrees <= 360 and 0 <= shear < 90):
            raise UserError(
                "RandomAffine: degrees must lie in [0, 360] and shear in [0, 90), got "
                f"{degrees} and {shear}"
            )
        self.degrees, self.shear, self.scale = degrees, shear, tuple(scale)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        angle = uniform(images, -self.degrees, self.degrees, generator).deg2rad()
        shear = uniform(images, -self.shear, self.shear, generator).deg2rad().tan()
        scale = uniform(images, self.scale[0], self.scale[1], generator)
        cos, sin = angle.cos() / scale, angle.sin() / scale
        # The inverse map, from output to input position, with the signs of torchvision.
        matrix = torch.stack([cos - shear * sin, sin + shear * cos, -sin, cos], 1).view(-1, 2, 2)
        return warp(images, matrix, torch.zeros_like(matrix[:, :, 0]))


def warp(images: Tensor, matrix: Tensor, shift: Tensor, mode: str = "bilinear") -> Tensor:
    """Resample each image: output position p shows the input at `matrix @ p + shift`.

    Args:
        images: `(B, C, H, W)`, square.
        matrix: `(B, 2, 2)`, about the centre.
        shift: `(B, 2)` horizontal and vertical, in units of half the side.
        mode: `bilinear` or `nearest`.
    """
    theta = torch.cat([matrix, shift[:, :, None]], 2)
    pixels = to_unit(images)
    grid = F.affine_grid(theta.to(pixels.dtype), list(images.shape), align_corners=False)
    return like(F.grid_sample(pixels, grid, mode=mode, align_corners=False), images)


class ColorJitter:
    """Changes brightness, contrast and saturation of each image, in this order.

    Args:
        brightness: factor drawn from [1 - brightness, 1 + brightness].
        contrast: likewise, blending with the mean grey of the image.
        saturation: likewise, blending with the grey image.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0):
        self.strengths = (brightness, contrast, saturation)
        if not all(0 <= strength < math.inf for strength in self.strengths):
            raise UserError(f"ColorJitter: strengths must not be below 0, got {self.strengths}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        values = to_unit(images)
        for number, strength in enumerate(self.strengths):
            factor = uniform(images, max(0.0, 1 - strength), 1 + strength, generator)
            if number == 0:
                other = torch.zeros_like(values)
            else:
                other = grey(values)
                if number == 1:
                    other = other.mean((1, 2, 3), keepdim=True)
            values = blend(values, other, factor)
        return like(values, images)


def blend(values: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """`other` at factor 0, `values` at 1, beyond it above; clipped to [0, 1]. Factor `(B,)`."""
    factor = factor[:, None, None, None]
    return (factor * values + (1 - factor) * other).clamp(0, 1)
