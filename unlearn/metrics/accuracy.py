"""Shares of right answers, and mean errors of numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def is_right(logits: Tensor, targets: Tensor) -> Tensor:
    """`(..., N)`: 1 where the largest logit `(..., N, C)` is the target's `(N,)`, else 0."""
    return (logits.argmax(-1) == targets).double()


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Share in [0, 1] of examples whose largest logit `(N, C)` is the target's `(N,)`."""
    return is_right(logits, targets).mean().item()


def accuracies(answers: Tensor, targets: Tensor) -> Tensor:
    """Accuracy of each model, `(models,)` in [0, 1].

    Args:
        answers: logits `(models, N, C)`, or what `is_right` made of them, `(models, N)`.
        targets: `(N,)`.
    """
    right = is_right(answers, targets) if answers.ndim == 3 else answers
    return torch.mean(right, 1)


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> float:
    """Mean distance of predictions `(N, 1)` from targets `(N,)`, in the target's unit."""
    return torch.mean((predictions[:, 0] - targets).abs().double()).item()
