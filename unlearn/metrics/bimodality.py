"""Do the models of a method fall into two groups, as they do where it did nothing to some?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from unlearn.metrics.validation import finite, require

FEWEST_MODELS = 8
_SMALLEST_GROUP = 0.25  # share of the models; smaller groups would make every long tail a group
_SIMULATIONS = 20_000


@dataclass(frozen=True)
class Bimodality:
    """Outcome of the search for two groups of models.

    Attributes:
        explained: share of the variance over models that lies between the two groups, in [0, 1];
            1 where every model has one of two values, 0 where all are equal.
        p_value: probability of as much or more for models of one population, at its largest over
            normal and exponential values.
        boundary: value that separates the groups; models above it are the upper group.
        upper: number of models above the boundary.
    """

    explained: float
    p_value: float
    boundary: float
    upper: int


def bimodality(values: Tensor) -> Bimodality:
    """Best split of one value per model into two groups of at least a quarter of the models each.

    A mean over models hides a method that worked on half of them and did nothing to the rest:
    population metrics then see one population between the two. The share of variance that the best
    split explains is compared with its distribution for one population of as many models, which is
    simulated for normal and for exponential values; the larger p-value counts. Calling two groups
    at ``p_value <= 0.01`` is then wrong at most once in a hundred for values from symmetric to as
    skewed as an exponential, at any number of models. Values spread evenly over a range have no
    second group either, but are called two more often than that from 16 models on.

    Args:
        values: ``(models,)``, for instance `weakest_margins` of the unlearned models.

    Returns:
        A `Bimodality`.

    Raises:
        ValueError: fewer than eight models, wrong shape, NaN or infinite values.

    Source: the split of Engelman and Hartigan, Percentage Points of a Test for Clusters, JASA 1969,
    with the size of the groups bounded.
    """
    values = finite(values, "values").double()
    require(values.ndim == 1, "values", f"expected shape (models,), got {tuple(values.shape)}")
    models = len(values)
    require(models >= FEWEST_MODELS, "values", f"{models} models, {FEWEST_MODELS} are needed")
    found, position = _best_split(values)
    as_much = max(int((null >= found).sum()) for null in _one_population(models))
    ordered = values.sort().values
    boundary = float(ordered[position - 1 : position + 1].mean())
    upper = models - int(position)
    return Bimodality(float(found), (1 + as_much) / (1 + _SIMULATIONS), boundary, upper)


def weakest_margins(margins: Tensor, share: float = 0.1) -> Tensor:
    """Mean of each model's smallest margins on the forget set.

    The examples that a model gets wrong, or nearly so, are those which it did not see: a model that
    was trained on them has no such tail. It separates models that forgot from models that did not
    where the mean margin, which moves with the confidence of the model on everything, does not.

    Args:
        margins: ``(models, examples)`` of the true class, for instance log odds.
        share: of the examples that are taken, in (0, 1]; at least one.

    Returns:
        ``(models,)`` float64 in the unit of ``margins``.

    Raises:
        ValueError: wrong shape, NaN or infinite values, ``share`` outside (0, 1].
    """
    margins = finite(margins, "margins").double()
    require(margins.ndim == 2 and margins.shape[1] > 0, "margins", "expected (models, examples)")
    require(0 < share <= 1, "share", f"must lie in (0, 1], got {share}")
    count = max(1, round(share * margins.shape[1]))
    return margins.sort(1).values[:, :count].mean(1)


@lru_cache(maxsize=8)
def _one_population(models: int) -> tuple[Tensor, Tensor]:
    """Explained shares of simulated normal and exponential populations."""
    generator = torch.Generator().manual_seed(0)
    shape = (_SIMULATIONS, models)
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    exponential = torch.empty(shape, dtype=torch.float64).exponential_(generator=generator)
    return _best_split(normal)[0], _best_split(exponential)[0]


def _best_split(values: Tensor) -> tuple[Tensor, Tensor]:
    """Explained share and size of the lower group, of ``(..., models)`` values."""
    models = values.shape[-1]
    centred = (values - values.mean(-1, keepdim=True)).sort(-1).values
    smallest = math.ceil(_SMALLEST_GROUP * models)
    lower = torch.arange(smallest, models - smallest + 1)
    sums = centred.cumsum(-1)[..., lower - 1]
    between = sums.square() * models / (lower * (models - lower))
    best, index = between.max(-1)
    total = centred.square().sum(-1)
    return torch.where(total > 0, best / total, 0.0).clamp(max=1), lower[index]
