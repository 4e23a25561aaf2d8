"""Tug of War: one number for how far three accuracies are from those of retraining."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearn.metrics.validation import check_fraction


def tug_of_war(
    forget: Tensor | float,
    retain: Tensor | float,
    test: Tensor | float,
    retrained_forget: Tensor | float,
    retrained_retain: Tensor | float,
    retrained_test: Tensor | float,
) -> Tensor:
    """Tug of War: (1 - |dFA|) (1 - |dRA|) (1 - |dTA|), accuracies against the retrained model.

    Args:
        forget: accuracy of the unlearned model on the forget set, a fraction in [0, 1]; any shape.
        retain: the same on the retain set.
        test: the same on the test set.
        retrained_forget: accuracies of the retrained model, broadcast against the above.
        retrained_retain: the same on the retain set.
        retrained_test: the same on the test set.

    Returns:
        Float64 tensor in [0, 1]; higher is better, 1 for equal accuracies.

    Raises:
        ValueError: an argument outside [0, 1] (percentages are refused by this) or NaN.

    Source: Zhao et al., What makes unlearning hard and what to do about it, NeurIPS 2024,
    arXiv 2406.01257.
    """
    ours = {"forget": forget, "retain": retain, "test": test}
    theirs = (retrained_forget, retrained_retain, retrained_test)
    product = torch.ones((), dtype=torch.float64)
    for (name, value), reference in zip(ours.items(), theirs, strict=True):
        reference = check_fraction(reference, f"retrained_{name}")
        product = product * (1 - (check_fraction(value, name) - reference).abs())
    return product
