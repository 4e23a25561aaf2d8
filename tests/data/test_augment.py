"""Batched augmentations against torchvision's single-image operations, and their randomness."""

import math

import pytest
import torch
import torchvision.transforms.functional as V
from torchvision.transforms import InterpolationMode

from unlearn.data import autoaugment
from unlearn.data.augment import ColorJitter, HorizontalFlip, RandomAffine, RandomCrop, warp
from unlearn.data.autoaugment import AutoAugment
from unlearn.errors import UserError

ALL = {
    "flip": HorizontalFlip(),
    "crop": RandomCrop(4),
    "crop_reflect": RandomCrop(4, "reflect"),
    "affine": RandomAffine(15, 10, (0.8, 1.2)),
    "jitter": ColorJitter(0.2, 0.2, 0.2),
    "autoaugment": AutoAugment(),
}


def smooth_images(count: int, side: int = 32) -> torch.Tensor:
    """Different smooth uint8 pictures, on which resampling conventions can be compared."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand((count, 3, 5, 5), generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic").clamp(0, 1)
    return (fine * 255).to(torch.uint8)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_keeps_shape_type_and_range_and_follows_the_generator(name, kind):
    images = smooth_images(40)
    images = images if kind == torch.uint8 else images.float() / 255
    before = images.clone()
    first, again, other = (
        ALL[name](images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert first.shape == images.shape and first.dtype == kind
    assert first.min() >= 0 and first.max() <= (255 if kind == torch.uint8 else 1)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", ALL)
def test_every_image_has_its_own_draw(name):
    same = smooth_images(1).expand(64, -1, -1, -1)
    out = ALL[name](same, torch.Generator().manual_seed(0))
    assert len(out.flatten(1).unique(dim=0)) > (1 if name == "flip" else 15)


def test_flip_mirrors_the_share_that_was_asked_for():
    images = smooth_images(2000, 8)
    out = HorizontalFlip(0.3)(images, torch.Generator().manual_seed(0))
    mirrored = (out == images.flip(-1)).flatten(1).all(1)
    kept = (out == images).flatten(1).all(1)
    assert (mirrored | kept).all()
    assert abs(mirrored.float().mean() - 0.3) < 4 * math.sqrt(0.21 / 2000)


@pytest.mark.parametrize("mode", ["zero", "reflect"])
def test_crops_are_windows_of_the_padded_image(mode):
    images = smooth_images(300, 10)
    out = RandomCrop(2, mode)(images, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(
        images.float(), (2, 2, 2, 2), mode="constant" if mode == "zero" else "reflect"
    )
    windows = torch.stack(
        [padded[:, :, y : y + 10, x : x + 10] for y in range(5) for x in range(5)], 1
    )
    found = (windows == out[:, None].float()).flatten(2).all(2)
    assert found.any(1).all()
    counts = found.float().argmax(1).bincount(minlength=25)
    assert (counts > 0).all(), "all 25 positions are drawn"


def test_crop_refuses_more_padding_than_there_is_image():
    with pytest.raises(UserError, match="too much for 4 pixels"):
        RandomCrop(4)(smooth_images(1, 4), torch.Generator())


@pytest.mark.parametrize(
    ("degrees", "shear", "scale"), [(12.0, 0.0, 1.0), (0.0, 8.0, 1.0), (0.0, 0.0, 1.2), (9, 6, 0.9)]
)
def test_affine_is_torchvisions(monkeypatch, degrees, shear, scale):
    # Draw the upper end of every range instead of a random number.
    monkeypatch.setattr(
        "unlearn.data.augment.uniform", lambda images, low, high, g: torch.full((4,), high)
    )
    images = smooth_images(4).float() / 255
    ours = RandomAffine(degrees, shear, (0.5, scale))(images, torch.Generator())
    theirs = V.affine(
        images, degrees, [0, 0], scale, [shear, 0.0], interpolation=InterpolationMode.BILINEAR
    )
    assert (ours - theirs).abs().max() < 1e-4


def test_jitter_is_torchvisions(monkeypatch):
    monkeypatch.setattr(
        "unlearn.data.augment.uniform", lambda images, low, high, g: torch.full((4,), high)
    )
    images = smooth_images(4).float() / 255
    theirs = V.adjust_brightness(images, 1.3)
    theirs = V.adjust_saturation(V.adjust_contrast(theirs, 1.2), 1.4)
    ours = ColorJitter(0.3, 0.2, 0.4)(images, torch.Generator())
    # torchvision rounds the grey weights to four digits.
    assert (ours - theirs).abs().max() < 2e-3


@pytest.mark.parametrize("operation", autoaugment.OPERATIONS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_operations_of_autoaugment_are_torchvisions(operation, sign):
    from torchvision.transforms.autoaugment import AutoAugment as Reference
    from torchvision.transforms.autoaugment import AutoAugmentPolicy, _apply_op

    images = smooth_images(10)
    level = torch.arange(10)
    reference = Reference(AutoAugmentPolicy.CIFAR10)
    magnitudes, signed = reference._augmentation_space(10, (32, 32))[operation]
    ours = autoaugment.apply(operation, images / 255, level, torch.full((10,), float(sign)))
    ours = (ours * 255).round()
    for i in range(10):
        magnitude = float(magnitudes[i]) if magnitudes.ndim else 0.0
        magnitude *= sign if signed else 1
        theirs = _apply_op(images[i], operation, magnitude, InterpolationMode.NEAREST, None)
        difference = (ours[i] - theirs.float()).abs()
        if operation in ("Rotate", "ShearX", "ShearY"):
            # Nearest neighbours: exact ties between two pixels may go either way.
            assert (difference > 2).float().mean() < 0.06, i
        else:
            assert difference.max() <= 2, i


def test_autoaugment_draws_operations_as_often_as_the_policy_says(monkeypatch):
    seen = dict.fromkeys(autoaugment.OPERATIONS, 0)

    def counting(operation, values, level, sign):
        seen[operation] += len(values)
        return values

    monkeypatch.setattr(autoaugment, "apply", counting)
    policy = AutoAugment()
    count = 20_000
    policy(torch.zeros(count, 3, 2, 2, dtype=torch.uint8), torch.Generator().manual_seed(0))
    for number, name in enumerate(autoaugment.OPERATIONS):
        expected = float(policy.probability[policy.operation == number].sum()) / 25 * count
        assert abs(seen[name] - expected) < 5 * math.sqrt(expected + 1), name


def test_warp_with_the_identity_changes_nothing():
    images = smooth_images(3)
    assert torch.equal(warp(images, torch.eye(2).repeat(3, 1, 1), torch.zeros(3, 2)), images)
