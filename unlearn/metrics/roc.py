"""Receiver operating characteristic of scored attacks, without loops."""

from __future__ import annotations

import torch
from torch import Tensor


def auc(positive: Tensor, negative: Tensor) -> Tensor:
    """Probability that a positive score exceeds a negative one, ties counted half.

    Args:
        positive: ``(..., P)`` scores.
        negative: ``(..., Q)`` scores, same leading axes.

    Returns:
        ``(...)`` float64 in [0, 1]; 0.5 means the scores say nothing.
    """
    ordered = negative.contiguous().sort(-1).values
    positive = positive.contiguous()
    below = torch.searchsorted(ordered, positive)
    upto = torch.searchsorted(ordered, positive, right=True)
    return (below + upto).double().mean(-1) / (2 * ordered.shape[-1])


def tpr_at_fpr(positive: Tensor, negative: Tensor, fpr: float) -> Tensor:
    """Largest true positive rate of "score > t" whose false positive rate is at most ``fpr``.

    With fewer than 1 / ``fpr`` negatives no false positive at all is allowed.

    Args:
        positive: ``(P,)`` scores.
        negative: ``(Q,)`` scores.
        fpr: in [0, 1).

    Returns:
        Float64 scalar in [0, 1].
    """
    # A hair above the product, so that 0.01 x 100 allows one and not zero false positives.
    allowed = int(fpr * negative.numel() + 1e-9)
    first_excluded = negative.sort(descending=True).values[allowed]
    return (positive > first_excluded).double().mean()


def best_accuracy(positive: Tensor, negative: Tensor) -> Tensor:
    """Balanced accuracy of the best threshold in the better direction.

    Equals (1 + Kolmogorov-Smirnov distance) / 2. The threshold is chosen in-sample, so equal
    distributions come out above 0.5, the more so the fewer scores there are.

    Args:
        positive: ``(..., P)`` scores.
        negative: ``(..., Q)`` scores, same leading axes.

    Returns:
        ``(...)`` float64 in [0.5, 1].
    """
    thresholds = torch.cat([positive, negative], -1)
    positive_rate, negative_rate = (
        torch.searchsorted(scores.sort(-1).values, thresholds, right=True).double()
        / scores.shape[-1]
        for scores in (positive.contiguous(), negative.contiguous())
    )
    return 0.5 + (positive_rate - negative_rate).abs().amax(-1) / 2
