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


def full_batches(split: Split, batch_size: int, count: int, generator: torch.Generator) -> Split:
    """Full batches, one after another: the split in a random order, anew each time it ends; what
    fills no batch is left out that time. A split that is smaller is repeated to make a batch.

    Args:
        split: where from.
        batch_size: examples of a batch.
        count: batches.
        generator: CPU generator of the orders.
    """
    rows: list[torch.Tensor] = []
    per_pass = max(len(split) // batch_size, 1)
    for _ in range(-(-count // per_pass)):
        order = torch.randperm(len(split), generator=generator)
        rows.append(order.repeat(-(-batch_size // len(split)))[: per_pass * batch_size])
    return split.take(torch.cat(rows)[: count * batch_size])


def fresh_seed(generator: torch.Generator) -> int:
    """A seed for a new network that no model trained from a small seed has started from."""
    return int(torch.randint(2**32, 2**48, (), generator=generator))
