"""Wrong targets for examples that are to be forgotten."""

import torch
from torch import Tensor

from unlearn.data.splits import Split
from unlearn.data.task import Task


def random_labels(count: int, classes: int, generator: torch.Generator) -> Tensor:
    """`(count,)` class ids, uniform over all classes, so one in `classes` stays right by chance."""
    return torch.randint(classes, (count,), generator=generator)


def noisy_targets(targets: Tensor, std: float, generator: torch.Generator) -> Tensor:
    """Real targets `(N,)` plus Gaussian noise of standard deviation `std`, in their unit."""
    return targets + std * torch.randn(targets.shape, generator=generator, dtype=targets.dtype)


def poisoned(
    split: Split, task: Task, generator: torch.Generator, noise_std: float | None
) -> Split:
    """The same examples with random labels, or with noise on real targets.

    Args:
        split: examples to relabel.
        task: classification or regression.
        generator: CPU generator of the draw.
        noise_std: for regression, in the target's unit; None = standard deviation of the targets
            of `split`.
    """
    targets = split.targets
    if task.is_classification:
        return split.with_targets(random_labels(len(split), task.num_outputs, generator))
    std = float(targets.std(correction=0)) if noise_std is None else noise_std
    return split.with_targets(noisy_targets(targets, std, generator))
