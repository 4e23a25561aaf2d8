"""Images made of noise that a network finds as hard, or as easy, as can be."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn.data.splits import Split


def learn_noise(
    net: nn.Module,
    labels: Tensor,
    shape: tuple[int, ...],
    *,
    maximise: bool,
    steps: int,
    lr: float,
    penalty: float,
    per_class: int,
    generator: torch.Generator,
    chunk: int = 128,
) -> Tensor:
    """Optimise noise images so that their cross-entropy is large or small.

    Each class has an objective of its own, mean(+-CE) + penalty mean(sum of squared pixels), and
    Adam moves every pixel separately; so all classes are learned together, a chunk of images at a
    time. The network is taken as it is and not changed.

    Args:
        net: network in evaluation mode.
        labels: class of every image `(N,)`, on the network's device.
        shape: `(C, H, W)` of an image.
        maximise: raise the cross-entropy instead of lowering it.
        steps: optimisation steps.
        lr: learning rate of Adam.
        penalty: weight of the mean squared length of an image.
        per_class: images a class, over which means are taken.
        generator: on the network's device, of the standard normal start.
        chunk: images at once; bounds the memory.

    Returns:
        Images `(N, C, H, W)`.
    """
    dtype = next(net.parameters()).dtype
    size = (len(labels), *shape)
    start = torch.randn(size, generator=generator, device=labels.device, dtype=dtype)
    learned = []
    for noise, classes in zip(start.split(chunk), labels.split(chunk), strict=True):
        noise.requires_grad_()
        optimizer = torch.optim.Adam([noise], lr=lr)
        for _ in range(steps):
            entropy = F.cross_entropy(net(noise), classes, reduction="sum")
            objective = (-entropy if maximise else entropy) + penalty * noise.square().sum()
            (noise.grad,) = torch.autograd.grad(objective / per_class, noise)
            optimizer.step()
        learned.append(noise.detach())
    return torch.cat(learned)


def copies(noise: Tensor, labels: Tensor, times: int) -> Split:
    """Noise images as a split in which each occurs `times` times, stored once.

    Args:
        noise: images `(N, C, H, W)`; they stay on their device.
        labels: their classes `(N,)`.
        times: copies of every image.
    """
    return Split.from_tensors(noise, labels).take(torch.arange(len(labels)).repeat(times))
