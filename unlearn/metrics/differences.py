"""Tests between two rows of a table, and what so many models can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from unlearn.metrics.intervals import Interval, check_level, standard_deviation
from unlearn.metrics.resampling import FEWEST_MODELS
from unlearn.metrics.validation import require


@dataclass(frozen=True)
class Difference:
    """First row minus second, on one number.

    Attributes:
        value: difference of the two numbers.
        interval: its interval over models.
        p_value: two-sided, of this comparison alone; correct a table with `holm`. NaN where
            nothing can be tested (``interval.note`` says why).
        detectable: size of a true difference that this test finds with probability 0.8.
    """

    value: float
    interval: Interval
    p_value: float
    detectable: float


def difference_test(
    estimate_a: float,
    draws_a: Tensor,
    estimate_b: float,
    draws_b: Tensor,
    n: int,
    level: float = 0.95,
    *,
    fewest: int = FEWEST_MODELS,
) -> Difference:
    """Are two rows equally far from retraining? Models are what is drawn anew, not examples.

    Both rows are compared with the same retrained models, in the estimates and in every replicate.
    What these happen to be then cancels; models of the rows themselves do not, and no number of
    examples makes up for them. The noise floor is a row like any other: retrained models that are
    not among those compared with. z = difference / standard deviation of its replicates (scaled by
    `spread`) is referred to Student's t with n - 1 degrees.

    Args:
        estimate_a: the first row's number.
        draws_a: ``(replicates,)`` the same in every replicate.
        estimate_b: the second row's number.
        draws_b: ``(replicates,)``, from the same draws of retrained models.
        n: models of a kind, the same for both rows.
        level: coverage of the interval, in (0, 1).
        fewest: models of a kind from which the test keeps its size.

    Returns:
        A `Difference`. Without a test where the difference is not finite, where fewer than half
        of its replicates are, or where unequal numbers never vary.

    Raises:
        ValueError: replicates of different shape, ``level`` outside (0, 1).
    """
    check_level(level)
    require(draws_a.shape == draws_b.shape, "draws_b", "shape differs from that of draws_a")
    estimates = torch.tensor([estimate_a, estimate_b], dtype=torch.float64)
    value = float(_subtract(estimates[0], estimates[1]))
    draws = _subtract(draws_a.double(), draws_b.double())
    deviation = standard_deviation(draws, n) if n >= FEWEST_MODELS else math.nan
    note = ""
    if n < fewest:
        note = f"no test: it takes {fewest} models of a kind, there are {n}"
    elif not math.isfinite(value) or math.isnan(deviation):
        note = "no test: the difference is not finite"
    elif deviation == 0 and value != 0:
        note = "no test: the difference is the same in every replicate"
    if note:
        without = Interval(value, math.nan, math.nan, level, "models", len(draws), note)
        return Difference(value, without, math.nan, math.nan)
    half = float(student.ppf((1 + level) / 2, n - 1)) * deviation
    found = Interval(value, value - half, value + half, level, "models", len(draws))
    p_value = 2 * float(student.sf(abs(value) / deviation, n - 1)) if deviation > 0 else 1.0
    return Difference(value, found, p_value, detectable_difference(deviation, n, level))


def detectable_difference(
    deviation: float, n: int, level: float = 0.95, power: float = 0.8
) -> float:
    """True difference that a two-sided test at 1 - ``level`` finds with probability ``power``.

    2.8 standard deviations for many models at the usual 0.95 and 0.8; more for few.

    Args:
        deviation: standard deviation of the estimated difference; that of the noise floor's row
            against another set of retrained models says what a table of this n can show.
        n: models of a kind.
        level: 1 - size of the test.
        power: probability in (0, 1).

    Returns:
        In the unit of ``deviation``.
    """
    quantiles = student.ppf([(1 + level) / 2, power], n - 1)
    return float(quantiles.sum()) * deviation


def _subtract(a: Tensor, b: Tensor) -> Tensor:
    """First minus second; 0 where both are infinite alike or differ by rounding alone."""
    return torch.where(torch.isclose(a, b, rtol=1e-12, atol=0), 0.0, a - b)


def holm(p_values: Tensor | Sequence[float]) -> Tensor:
    """Holm's step-down correction: p-values that hold for the whole table at once.

    Args:
        p_values: ``(m,)`` in [0, 1], one for each comparison that is shown.

    Returns:
        ``(m,)`` float64 adjusted p-values in the order given; compare them with the usual level.

    Raises:
        ValueError: wrong shape, values outside [0, 1] or NaN.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Stat. 1979.
    """
    p = torch.as_tensor(p_values, dtype=torch.float64)
    require(p.ndim == 1, "p_values", "expected shape (m,)")
    require(bool(((p >= 0) & (p <= 1)).all()), "p_values", "must lie in [0, 1]")
    if p.numel() == 0:
        return p
    ordered, order = p.sort()
    remaining = torch.arange(p.numel(), 0, -1, dtype=torch.float64)
    adjusted = (ordered * remaining).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter(0, order, adjusted)
