"""Bootstrap intervals over examples.

Draws come from a generator of their own, made from ``seed``: results repeat, and nobody else's
random numbers change.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from unlearn.metrics.intervals import Interval
from unlearn.metrics.validation import require

Location = Literal["mean", "median"]
# Drawn values held at once (64 MB of float64).
_CHUNK = 1 << 23


def bootstrap_examples(
    values: Tensor,
    location: Location = "mean",
    *,
    over: str = "examples",
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the mean or median of one value per example (or per model).

    NaN values are dropped. Infinite values are allowed with the median, which then may be infinite
    itself; the mean refuses them.

    Args:
        values: ``(n,)``, for instance the epsilons of the forget examples, or one accuracy a model.
        location: ``mean`` or ``median``.
        over: label of what ``values`` runs over, kept in the result.
        replicates: bootstrap replicates.
        level: coverage in (0, 1).
        seed: of the generator.

    Returns:
        An `Interval`.

    Raises:
        ValueError: wrong shape, nothing but NaN, infinite values with the mean, bad option.
    """
    kept = _clean(values, "values", location)
    _check_options(location, replicates, level)
    draws = _resampled_locations(kept, location, replicates, seed)
    low, high = _quantiles(draws, level)
    return Interval(float(_locate(kept, location)), low, high, level, over, replicates)


def _check_options(location: str, replicates: int, level: float) -> None:
    names = get_args(Location)
    require(location in names, "location", f"is none of {names}")
    require(replicates >= 1, "replicates", "at least 1")
    require(0 < level < 1, "level", "must lie in (0, 1)")


def _clean(values: Tensor, argument: str, location: str) -> Tensor:
    values = torch.as_tensor(values)
    require(values.ndim == 1, argument, f"expected shape (n,), got {tuple(values.shape)}")
    kept = values[~values.isnan()].double()
    require(kept.numel() > 0, argument, "holds nothing but NaN")
    if location == "mean":
        finite = bool(kept.isfinite().all())
        require(finite, argument, "holds infinite values: use location='median'")
    return kept


def _locate(values: Tensor, location: str) -> Tensor:
    """Mean or median along the last axis; the median averages the middle pair, also if infinite."""
    if location == "mean":
        return values.mean(-1)
    ordered = values.sort(-1).values
    count = values.shape[-1]
    low, high = ordered[..., (count - 1) // 2], ordered[..., count // 2]
    return torch.where(low == high, low, (low + high) / 2)


def _resampled_locations(values: Tensor, location: str, replicates: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    count = values.numel()
    values = values.cpu()
    parts = []
    for start in range(0, replicates, max(1, _CHUNK // count)):
        rows = min(max(1, _CHUNK // count), replicates - start)
        index = torch.randint(count, (rows, count), generator=generator)
        parts.append(_locate(values[index], location))
    return torch.cat(parts)


def _quantiles(draws: Tensor, level: float) -> tuple[float, float]:
    """Order statistics rather than interpolation, which infinite draws would turn into NaN."""
    ordered = draws.sort().values
    tail = (1 - level) / 2
    last = ordered.numel() - 1
    return float(ordered[int(np.floor(tail * last))]), float(
        ordered[int(np.ceil((1 - tail) * last))]
    )
