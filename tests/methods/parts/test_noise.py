"""Learned noise images, and copies of them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn.methods.parts.noise import copies, learn_noise


def noise_for(net: nn.Module, labels: Tensor, **changes: Any) -> Tensor:
    settings: dict[str, Any] = {"maximise": True, "steps": 25, "lr": 0.1, "penalty": 0.0}
    generator = torch.Generator().manual_seed(3)
    settings |= {"per_class": 4, "generator": generator, **changes}
    return learn_noise(net, labels, (3, 8, 8), **settings)


def test_noise_raises_or_lowers_the_loss_of_its_class(trained: nn.Module) -> None:
    labels = torch.tensor([2, 2, 2, 2])
    before = F.cross_entropy(trained(noise_for(trained, labels, steps=0)), labels)
    hard = F.cross_entropy(trained(noise_for(trained, labels)), labels)
    easy = F.cross_entropy(trained(noise_for(trained, labels, maximise=False)), labels)
    assert hard > before + 1 and easy < before / 2
    assert all(parameter.grad is None for parameter in trained.parameters())


def test_noise_penalty_shortens_the_images(trained: nn.Module) -> None:
    labels = torch.tensor([2, 2, 2, 2])
    free, bound = noise_for(trained, labels), noise_for(trained, labels, penalty=10.0)
    assert bound.square().sum() < 0.2 * free.square().sum()


def test_noise_does_not_depend_on_the_chunks(trained: nn.Module) -> None:
    labels = torch.arange(5).repeat_interleave(4)
    together, apart = (noise_for(trained, labels, penalty=0.1, chunk=c) for c in (128, 3))
    torch.testing.assert_close(together, apart)


def test_copies_are_stored_once() -> None:
    noise, labels = torch.randn(3, 1, 2, 2), torch.tensor([4, 0, 1])
    split = copies(noise, labels, 80)
    assert len(split) == 240 and len(split.parts[0].table) == 3
    assert split.targets.bincount().tolist() == [80, 80, 0, 0, 80]
