"""Intervals: of means of runs, and of any number whose replicates are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from unlearn.metrics.resampling import FEWEST_MODELS, spread
from unlearn.metrics.validation import finite, require

_ROUNDING = 1e-12  # relative


@dataclass(frozen=True)
class Interval:
    """A number with its interval.

    Attributes:
        estimate: the number, from all data.
        low: lower end, NaN without an interval.
        high: upper end, NaN without an interval.
        level: coverage aimed at, 0.95 by default.
        over: what would be drawn anew: ``models`` or ``examples`` (or what the caller paired).
        replicates: number of replicates behind it, 0 for a closed form.
        note: why there is no interval, empty where there is one.
    """

    estimate: float
    low: float
    high: float
    level: float
    over: str
    replicates: int
    note: str = ""


def interval(
    estimate: float,
    draws: Tensor,
    n: int,
    level: float = 0.95,
    *,
    fewest: int = FEWEST_MODELS,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Interval of a number of populations of models, from its replicates.

    What it covers is the number's expectation over populations of n models, on the same examples:
    numbers that are biased at small n (all that choose a threshold or bins in-sample) stay
    comparable at equal n only, which no interval mends. The estimate has that expectation, so the
    interval is centred at it whatever the replicates' mean. Its half width is Student's t quantile
    with n - 1 degrees times the standard deviation, which is `spread` times that of the replicates.

    Args:
        estimate: the number of all models.
        draws: ``(replicates,)`` the same number in every replicate of `ModelDraws`.
        n: models of a kind; the smaller number where the kinds differ.
        level: coverage in (0, 1).
        fewest: models of a kind from which the number's interval covers what it claims.
        bounds: smallest and largest possible value.

    Returns:
        An `Interval` over models. No interval, with a note, below ``fewest`` models, where the
        estimate is not finite, or where the replicates never vary. An end is infinite where more
        replicates are infinite than may lie beyond it.

    Raises:
        ValueError: fewer than two replicates, ``level`` outside (0, 1).
    """
    check_level(level)
    deviation = standard_deviation(draws, n) if n >= FEWEST_MODELS else math.nan
    note = ""
    if n < fewest:
        note = f"no interval: it takes {fewest} models of a kind, there are {n}"
    elif not math.isfinite(estimate):
        note = "no interval: the number is not finite"
    elif math.isnan(deviation):
        note = "no interval: replicates are not finite"
    elif deviation == 0:
        note = "no interval: the number is the same in every replicate"
    if note:
        return Interval(estimate, math.nan, math.nan, level, "models", len(draws), note)
    half = float(student.ppf((1 + level) / 2, n - 1)) * deviation
    tail = (1 - level) / 2
    low, high = (
        end if float((draws == sign * math.inf).double().mean()) <= tail else sign * math.inf
        for sign, end in ((-1, estimate - half), (1, estimate + half))
    )
    low, high = max(low, min(bounds[0], estimate)), min(high, max(bounds[1], estimate))
    return Interval(estimate, low, high, level, "models", len(draws))


def mean_interval(values: Tensor | Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean of one value per run.

    Args:
        values: ``(n,)``, NaN dropped.
        level: coverage in (0, 1).

    Returns:
        An `Interval` over models; no interval, with a note, for one value or equal values.

    Raises:
        ValueError: wrong shape, nothing but NaN, infinite values, ``level`` outside (0, 1).

    Source: Student, The Probable Error of a Mean, Biometrika 1908.
    """
    kept = _finite_values(values, "values")
    check_level(level)
    n = kept.numel()
    mean = float(kept.mean())
    if n < 2 or float(kept.std()) <= _ROUNDING * abs(mean):
        # Equal runs show that others are rare, not that they cannot be: no width would be right.
        note = f"no interval: {'one run' if n < 2 else f'all {n} runs are equal'}"
        return Interval(mean, math.nan, math.nan, level, "models", 0, note)
    half = float(student.ppf((1 + level) / 2, n - 1)) * float(kept.std()) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, level, "models", 0)


def mean_gap_interval(
    retrained: Tensor | Sequence[float], unlearned: Tensor | Sequence[float], level: float = 0.95
) -> Interval:
    """Welch's t interval of the mean of the unlearned minus that of the retrained models.

    Args:
        retrained: ``(n,)`` one value per retrained model, NaN dropped.
        unlearned: ``(m,)`` one value per unlearned model, NaN dropped.
        level: coverage in (0, 1).

    Returns:
        An `Interval` over models; no interval, with a note, for fewer than two models of a kind or
        where the models of both kinds are equal among themselves.

    Raises:
        ValueError: as `mean_interval`.

    Source: Welch, The Generalization of Student's Problem when Several Different Population
    Variances are Involved, Biometrika 1947.
    """
    check_level(level)
    r, u = _finite_values(retrained, "retrained"), _finite_values(unlearned, "unlearned")
    gap = float(u.mean() - r.mean())
    if min(r.numel(), u.numel()) < 2:
        return Interval(gap, math.nan, math.nan, level, "models", 0, "no interval: one run")
    parts = torch.stack([r.var() / r.numel(), u.var() / u.numel()])
    freedoms = torch.tensor([r.numel() - 1, u.numel() - 1], dtype=torch.float64)
    variance = float(parts.sum())
    if math.sqrt(variance) <= _ROUNDING * max(abs(float(r.mean())), abs(float(u.mean()))):
        note = "no interval: all runs of a kind are equal"
        return Interval(gap, math.nan, math.nan, level, "models", 0, note)
    freedom = variance**2 / float((parts.square() / freedoms).sum())
    half = float(student.ppf((1 + level) / 2, freedom)) * math.sqrt(variance)
    return Interval(gap, gap - half, gap + half, level, "models", 0)


def standard_deviation(draws: Tensor, n: int) -> float:
    """Standard deviation of a number of populations of n models, from its replicates.

    Args:
        draws: ``(replicates,)`` of `ModelDraws`; infinite and undefined ones are left out.
        n: models of a kind.

    Returns:
        In the unit of the number, 0 where replicates are equal; NaN where fewer than half of them
        are finite.

    Raises:
        ValueError: fewer than two replicates.
    """
    require(draws.ndim == 1 and len(draws) > 1, "draws", "expected (replicates,), two or more")
    usable = draws[draws.isfinite()].double()
    if 2 * len(usable) < len(draws) or len(usable) < 2:
        return math.nan
    deviation = float(usable.std())
    # Replicates that differ by rounding alone do not vary.
    return spread(n) * deviation if deviation > _ROUNDING * float(usable.abs().max()) else 0.0


def check_level(level: float) -> None:
    """Raises ``ValueError`` unless ``level`` lies in (0, 1)."""
    require(0 < level < 1, "level", f"must lie in (0, 1), got {level}")


def _finite_values(values: Tensor | Sequence[float], argument: str) -> Tensor:
    given = torch.as_tensor(values, dtype=torch.float64)
    require(given.ndim == 1, argument, f"expected shape (n,), got {tuple(given.shape)}")
    kept = given[~given.isnan()]
    require(kept.numel() > 0, argument, "holds nothing but NaN")
    return finite(kept, argument)
