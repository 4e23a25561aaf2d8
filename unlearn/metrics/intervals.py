"""Intervals of numbers whose replicates are known; `means.py` has those of means."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import t as student
from torch import Tensor

from unlearn.metrics.resampling import FEWEST_MODELS, spread
from unlearn.metrics.validation import require

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
        others = " that is finite" if bool(draws.isinf().any()) else ""
        note = f"no interval: the number is the same in every replicate{others}"
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
