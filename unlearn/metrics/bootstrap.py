"""Uncertainty: bootstrap intervals over examples and over models, paired comparisons, Holm.

Every function draws from a generator of its own, made from ``seed``: results repeat, and nobody
else's random numbers change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from scipy.stats import wilcoxon
from torch import Tensor

from unlearn.metrics.differences import holm
from unlearn.metrics.intervals import Interval
from unlearn.metrics.validation import require

__all__ = [
    "Interval",
    "Location",
    "PairedDifference",
    "bootstrap_examples",
    "bootstrap_models",
    "holm",
    "paired_difference",
]

Location = Literal["mean", "median"]
# Drawn values held at once (64 MB of float64).
_CHUNK = 1 << 23


@dataclass(frozen=True)
class PairedDifference:
    """First minus second over pairs, with interval and test.

    Attributes:
        difference: bootstrap interval of the location of the differences.
        p_value: two-sided Wilcoxon signed-rank p-value, 1 if all differences are 0.
        pairs: number of pairs used, after pairs with NaN were dropped.
    """

    difference: Interval
    p_value: float
    pairs: int


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


def bootstrap_models(
    metric: Callable[[Tensor, Tensor], float],
    retrained: Tensor,
    unlearned: Tensor,
    *,
    replicates: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a population metric, resampling models of both kinds.

    Models are drawn with replacement, retrained and unlearned independently. Duplicated models make
    two populations look further apart than they are, so the replicates of an attack-like metric sit
    above the estimate; their mean shift is removed before the percentiles are taken.

    Infinite or undefined replicates are kept out of the shift; the ends are infinite where the
    percentiles are.

    Args:
        metric: function of (retrained, unlearned) giving one number. Pass per-example statistics
            ``(models, examples)`` instead of logits to make it cheap: every population metric takes
            them.
        retrained: first axis models.
        unlearned: first axis models.
        replicates: bootstrap replicates, one call of ``metric`` each.
        level: coverage in (0, 1).
        seed: of the generator.

    Returns:
        An `Interval` with ``over="models"``.

    Raises:
        ValueError: fewer than two models of a kind, bad option, or what ``metric`` raises.
    """
    _check_options("mean", replicates, level)
    for argument, population in (("retrained", retrained), ("unlearned", unlearned)):
        require(population.ndim > 0 and len(population) > 1, argument, "needs two models or more")
    estimate = float(metric(retrained, unlearned))
    generator = torch.Generator().manual_seed(seed)
    draws = torch.empty(replicates, dtype=torch.float64)
    for i in range(replicates):
        drawn = [
            population[torch.randint(len(population), (len(population),), generator=generator)]
            for population in (retrained, unlearned)
        ]
        draws[i] = float(metric(drawn[0], drawn[1]))
    draws = draws[~draws.isnan()]
    if draws.numel() == 0:
        return Interval(estimate, float("nan"), float("nan"), level, "models", replicates)
    usable = draws[draws.isfinite()]
    shift = float(usable.mean()) - estimate if len(usable) and np.isfinite(estimate) else 0.0
    low, high = _quantiles(draws - shift, level)
    return Interval(estimate, low, high, level, "models", replicates)


def paired_difference(
    first: Tensor,
    second: Tensor,
    location: Location = "mean",
    *,
    over: str = "examples",
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compares two methods on the same seeds or examples: first minus second.

    Two infinite values of one sign count as equal. A pair with NaN is dropped.

    Args:
        first: ``(n,)`` values of the first method.
        second: ``(n,)`` values of the second, in the same order.
        location: of the differences; ``median`` where values can be infinite (epsilon).
        over: what a pair is, kept in the result.
        replicates: bootstrap replicates.
        level: coverage in (0, 1).
        seed: of the generator.

    Returns:
        A `PairedDifference`. Its p-value is of one comparison; correct a table with `holm`.

    Raises:
        ValueError: shapes differ, no pair left, infinite differences with the mean, bad option.

    Source: Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1945.
    """
    require(first.shape == second.shape, "second", "shape differs from that of first")
    a, b = first.double(), second.double()
    differences = torch.where(a == b, 0.0, a - b)
    interval = bootstrap_examples(
        differences, location, over=over, replicates=replicates, level=level, seed=seed
    )
    kept = _clean(differences, "first", location)
    p_value = 1.0 if not kept.any() else float(wilcoxon(kept.cpu().numpy()).pvalue)
    return PairedDifference(interval, p_value, kept.numel())


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
