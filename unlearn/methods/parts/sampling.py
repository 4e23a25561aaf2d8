"""Random parts of a split, and seeds for fresh networks."""

import torch

from unlearn.data.splits import Split


def random_sample(split: Split, count: float, generator: torch.Generator) -> Split:
    """Examples drawn uniformly without replacement, in stored order.

    Args:
        split: where from.
        count: how many; rounded, at least one, at most all.
        generator: CPU generator of the draw.
    """
    size = min(len(split), max(1, round(count)))
    return split.take(torch.randperm(len(split), generator=generator)[:size].sort().values)


def fresh_seed(generator: torch.Generator) -> int:
    """A seed for a new network that no model trained from a small seed has started from."""
    return int(torch.randint(2**32, 2**48, (), generator=generator))
