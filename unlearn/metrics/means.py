"""Means over models, and over pairs of models: intervals and differences in closed form.

A mean over runs varies because other runs would have given other values; a mean distance to
retrained models varies because of both, the runs and the retrained models. Each model's part in the
mean is known, so no resampling is needed: variances of the parts add up. Two means that share
models, retrained ones or the original models that runs started from, are compared part by part.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from unlearn.metrics.differences import Difference, detectable_difference
from unlearn.metrics.intervals import Interval, check_level
from unlearn.metrics.validation import require


@dataclass(frozen=True)
class ModelMean:
    """A mean with each model's part in it.

    Attributes:
        value: the mean.
        own: ``(n,)`` parts of the models the mean is about, up to a constant; empty where these
            are the retrained models themselves.
        keys: one a model of ``own``: models with equal keys in two means started alike.
        retrained: ``(m,)`` parts of the retrained models, up to a constant; empty where they do
            not matter.
    """

    value: float
    own: Tensor
    keys: tuple[Hashable, ...]
    retrained: Tensor

    @property
    def models(self) -> int:
        """Models of the smaller kind that matters."""
        return min((len(part) for part in (self.own, self.retrained) if len(part)), default=0)


def mean_of_runs(values: Sequence[float] | Tensor, keys: Sequence[Hashable]) -> ModelMean:
    """Mean of one value ``(n,)`` a run."""
    own = torch.as_tensor(values, dtype=torch.float64)
    require(len(own) == len(keys), "keys", "one a run")
    return ModelMean(float(own.mean()), own, tuple(keys), own[:0])


def mean_of_retrained(values: Sequence[float] | Tensor) -> ModelMean:
    """Mean of one value ``(m,)`` a retrained model."""
    retrained = torch.as_tensor(values, dtype=torch.float64)
    return ModelMean(float(retrained.mean()), retrained[:0], (), retrained)


def mean_of_pairs(distances: Tensor, keys: Sequence[Hashable]) -> ModelMean:
    """Mean distance over all pairs of a run and a retrained model.

    Args:
        distances: ``(n, m)``, runs by retrained models.
        keys: one a run.
    """
    require(distances.ndim == 2, "distances", "expected shape (runs, retrained)")
    matrix = distances.double()
    return ModelMean(float(matrix.mean()), matrix.mean(1), tuple(keys), matrix.mean(0))


def mean_of_retrained_pairs(distances: Tensor) -> ModelMean:
    """Mean distance over all pairs of different retrained models.

    Args:
        distances: ``(m, m)``; what a model has to itself is not looked at.
    """
    count = len(distances)
    require(distances.shape == (count, count), "distances", "expected a square matrix")
    require(count > 1, "distances", "needs two models or more")
    matrix = distances.double().clone().fill_diagonal_(0)
    parts = (matrix.sum(0) + matrix.sum(1)) / (count - 1)
    return ModelMean(float(matrix.sum()) / (count * (count - 1)), matrix[0, :0], (), parts)


def mean_interval(
    mean: ModelMean,
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Interval:
    """Student's t interval of a mean over models, within the values that there can be.

    No interval, with a note, for a single model and for models that do not differ.
    """
    check_level(level)
    if mean.models < 2:
        note = "no interval: one model"
        return Interval(mean.value, math.nan, math.nan, level, "models", 0, note)
    half, _ = _half_width(_parts(mean), level)
    if half == 0:
        note = "no interval: all models have the same value"
        return Interval(mean.value, math.nan, math.nan, level, "models", 0, note)
    low, high = max(mean.value - half, bounds[0]), min(mean.value + half, bounds[1])
    return Interval(mean.value, low, high, level, "models", 0)


def mean_difference(first: ModelMean, second: ModelMean, level: float = 0.95) -> Difference:
    """First minus second, with the models that both share taken out of the uncertainty.

    Args:
        first: of one row.
        second: of another; where both depend on retrained models, on the same ones.
        level: coverage of the interval.

    Returns:
        A `Difference`; without a test where a kind has one model only.
    """
    check_level(level)
    value = first.value - second.value
    kinds = _difference_parts(first, second)
    if any(len(part) < 2 for part in kinds) or not kinds:
        note = "no test: one model of a kind"
        none = Interval(value, math.nan, math.nan, level, "models", 0, note)
        return Difference(value, none, math.nan, math.nan)
    half, deviation = _half_width(kinds, level, min(first.models, second.models))
    freedom = min(first.models, second.models) - 1
    if deviation == 0:
        p_value = 1.0 if value == 0 else math.nan
    else:
        p_value = 2 * float(student.sf(abs(value) / deviation, freedom))
    interval = Interval(value, value - half, value + half, level, "models", 0)
    detectable = detectable_difference(deviation, freedom + 1, level)
    return Difference(value, interval, p_value, detectable)


def _parts(mean: ModelMean) -> list[Tensor]:
    return [part for part in (mean.own, mean.retrained) if len(part)]


def _difference_parts(first: ModelMean, second: ModelMean) -> list[Tensor]:
    """Independent kinds of models, each with its parts in the difference."""
    kinds: list[Tensor] = []
    if len(first.retrained) and len(second.retrained):
        require(len(first.retrained) == len(second.retrained), "second", "other retrained models")
        kinds.append(first.retrained - second.retrained)
    else:
        kinds += [part for part in (first.retrained, second.retrained) if len(part)]
    if set(first.keys) & set(second.keys):
        kinds.append(_shared_parts(first, second))
    else:
        kinds += [part for part in (first.own, second.own) if len(part)]
    return kinds


def _shared_parts(first: ModelMean, second: ModelMean) -> Tensor:
    """What every start adds to the difference of two means, times the number of starts; starts
    that both have appear once, so that what they are cancels."""
    parts: dict[Hashable, float] = {}
    for mean, sign in ((first, 1.0), (second, -1.0)):
        centred = sign * (mean.own - mean.own.mean()) / len(mean.own)
        for key, part in zip(mean.keys, centred.tolist(), strict=True):
            parts[key] = parts.get(key, 0.0) + part
    return len(parts) * torch.tensor(list(parts.values()), dtype=torch.float64)


def _half_width(
    kinds: Sequence[Tensor], level: float, models: int | None = None
) -> tuple[float, float]:
    """Half width of the interval, and the standard deviation of the mean."""
    variance = sum(float(part.var()) / len(part) for part in kinds)
    freedom = (models or min(len(part) for part in kinds)) - 1
    deviation = math.sqrt(variance)
    return float(student.ppf((1 + level) / 2, freedom)) * deviation, deviation
