"""Which retain examples look like the forget set."""

from collections.abc import Iterable

import torch
from torch import Tensor


def nearest(forget: Tensor, retain: Iterable[Tensor], k: int) -> Tensor:
    """Positions of the k most similar retain examples of every forget example.

    Only k candidates a forget example are kept while the retain set passes by.

    Args:
        forget: `(F, D)` features of unit length.
        retain: batches `(B, D)` of features of unit length, in stored order.
        k: neighbours.

    Returns:
        `(F, min(k, R))` positions in the retain set, largest cosine first, ties by position.
    """
    similarity = forget.new_empty(len(forget), 0)
    positions = torch.empty(len(forget), 0, dtype=torch.int64, device=forget.device)
    start = 0
    for features in retain:
        here = torch.arange(start, start + len(features), device=forget.device)
        start += len(features)
        similarity = torch.cat([similarity, forget @ features.T], 1)
        positions = torch.cat([positions, here.expand(len(forget), -1)], 1)
        best = similarity.argsort(dim=1, descending=True, stable=True)[:, :k]
        similarity, positions = similarity.gather(1, best), positions.gather(1, best)
    return positions


def similarity_sample(
    counts: Tensor, size: int, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Part of the retain set by how often it was chosen as a neighbour, the rest at random.

    Args:
        counts: `(R,)` how often each retain example was chosen.
        size: examples to take; all of them when there are fewer.
        share: of the sample that goes to the examples chosen most often, ties by position. Where
            fewer were ever chosen, chance fills the rest.
        generator: CPU generator of the draw.

    Returns:
        `(S,)` positions, sorted, and `(S,)` weights: the count, 1 for those never chosen, divided
        by their mean.
    """
    size = min(size, len(counts))
    wanted = min(round(share * size), int((counts > 0).sum()))
    ranked = counts.argsort(descending=True, stable=True)
    others = ranked[wanted:]
    drawn = others[torch.randperm(len(others), generator=generator)[: size - wanted]]
    positions = torch.cat([ranked[:wanted], drawn]).sort().values
    weights = counts[positions].clamp_min(1).float()
    return positions, weights / weights.mean()
