"""Average gap to retraining: one number for four differences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unlearn.metrics.validation import finite, require


def average_gap(unlearned: Tensor | Sequence[float], retrained: Tensor | Sequence[float]) -> Tensor:
    """Average gap to retraining: (|dUA| + |dRA| + |dTA| + |dMIA|) / 4.

    Args:
        unlearned: ``(..., 4)``: unlearning accuracy (100 % minus forget accuracy), retain accuracy,
            test accuracy and membership attack result, in one unit (percent or fraction).
        retrained: the same of the retrained model, broadcast against ``unlearned``.

    Returns:
        ``(...)`` float64 in the unit of the inputs, at least 0; lower is better.

    Raises:
        ValueError: last axis not 4, NaN or infinite.

    Source: Fan et al., SalUn, ICLR 2024, arXiv 2310.12508.
    """
    pair = []
    for argument, values in (("unlearned", unlearned), ("retrained", retrained)):
        tensor = finite(torch.as_tensor(values, dtype=torch.float64), argument)
        require(
            tensor.ndim > 0 and tensor.shape[-1] == 4, argument, "expected UA, RA, TA, MIA last"
        )
        pair.append(tensor)
    return (pair[0] - pair[1]).abs().mean(-1)
