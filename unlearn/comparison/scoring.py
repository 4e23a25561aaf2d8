"""From groups of models to numbers with uncertainty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from unlearn.comparison.groups import Group
from unlearn.comparison.result import Number
from unlearn.comparison.yardstick import Metrics
from unlearn.errors import UserError
from unlearn.evals.base import Comparison, Evaluation, Quantity
from unlearn.metrics.bootstrap import Interval, bootstrap_examples, bootstrap_models
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


@dataclass(frozen=True)
class Resampling:
    """The evaluate group `bootstrap`.

    Attributes:
        models: replicates of numbers that need whole populations anew.
        examples: replicates of means and medians.
        level: coverage of intervals.
    """

    models: int = 100
    examples: int = 1000
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.models < 1 or self.examples < 1 or not 0 < self.level < 1:
            raise UserError(
                "bootstrap.models and bootstrap.examples must be at least 1, bootstrap.level must "
                f"lie between 0 and 1; got {self.models}, {self.examples}, {self.level}"
            )

    def location(self, values: Sequence[float] | Tensor, where: str, over: str) -> Interval | None:
        """Interval of a mean or median, None where there are fewer than two values."""
        kept = torch.as_tensor(values, dtype=torch.float64)
        kept = kept[~kept.isnan()]
        if kept.numel() < 2 or (where == "mean" and not kept.isfinite().all()):
            return None
        return bootstrap_examples(
            kept,
            where,  # type: ignore[arg-type]
            over=over,
            replicates=self.examples,
            level=self.level,
        )


def per_run_numbers(
    runs: Sequence[Metrics], retrained: Sequence[Metrics], resampling: Resampling
) -> dict[str, Number]:
    """Mean, deviation, interval over models and gap to the retrained models, by key."""
    numbers = {}
    for key in dict.fromkeys(key for metrics in runs for key in metrics):
        values = [m[key] for m in runs if not math.isnan(m.get(key, math.nan))]
        base = [m[key] for m in retrained if not math.isnan(m.get(key, math.nan))]
        if not values:
            continue
        numbers[key] = Number(
            statistics.fmean(values),
            statistics.stdev(values) if len(values) > 1 else math.nan,
            len(values),
            over_models=resampling.location(values, "mean", "models"),
            gap=difference(base, values, resampling) if base else None,
        )
    return numbers


def difference(
    retrained: Sequence[float], unlearned: Sequence[float], resampling: Resampling
) -> Interval:
    """Mean of the unlearned minus mean of the retrained models, with an interval over models."""
    r, u = (torch.tensor(v, dtype=torch.float64) for v in (retrained, unlearned))

    def gap(r: Tensor, u: Tensor) -> float:
        return float(u.mean() - r.mean())

    if min(len(r), len(u)) < 2:
        return Interval(gap(r, u), math.nan, math.nan, resampling.level, "models", 0)
    return bootstrap_models(gap, r, u, replicates=resampling.models, level=resampling.level)


def population(group: Group, problem: UnlearningProblem) -> Population:
    """Predictions of all members of a group, stacked."""
    regression = not problem.task.is_classification
    return Population.of({str(i): m.read() for i, m in enumerate(group.members)}, regression)


def population_numbers(
    name: str,
    evaluation: Evaluation,
    unlearned: Population,
    retrained: Population,
    problem: UnlearningProblem,
    resampling: Resampling,
    count: int,
) -> tuple[dict[str, Number], Comparison]:
    """An evaluation's numbers of two populations, with intervals over models and over examples.

    Numbers of models are part of what these numbers mean, so all rows of a table use one.

    Args:
        name: of the evaluation, for keys.
        evaluation: one that compares populations.
        unlearned: models to judge.
        retrained: models to judge them by.
        problem: splits and task.
        resampling: replicates and level.
        count: models of each kind to use, the first ones; where both populations have more, the
            values with all of them are kept beside.
    """
    everything = min(len(unlearned), len(retrained))
    u, r = unlearned.take(range(count)), retrained.take(range(count))
    comparison = evaluation.compare(u, r, problem)
    larger: Mapping[str, float] = {}
    if everything > count:
        rows = range(everything)
        larger = evaluation.compare(unlearned.take(rows), retrained.take(rows), problem).values
    intervals = _over_models(evaluation, u, r, problem, resampling)
    numbers = {}
    for quantity, value in comparison.values.items():
        over_examples = None
        if quantity in evaluation.over_examples:
            part, where = evaluation.over_examples[quantity]
            if part in comparison.examples:
                over_examples = resampling.location(comparison.examples[part], where, "examples")
        numbers[f"{name}/{quantity}"] = Number(
            value,
            n=count,
            over_models=_moved(intervals[quantity], value, evaluation.quantities[quantity]),
            over_examples=over_examples,
            with_all=larger.get(quantity),
            with_all_n=everything if larger else 0,
            protocol=comparison.protocol,
        )
    return numbers, comparison


def _moved(interval: Interval, value: float, quantity: Quantity) -> Interval:
    """The interval around a value that was computed more exactly than its replicates, kept within
    what the quantity can be."""
    shift = value - interval.estimate
    shift = shift if math.isfinite(shift) else 0.0
    least, most = (0.0, 1.0) if quantity.unit == "%" else (-math.inf, math.inf)
    if quantity.ideal is not None:
        least = quantity.ideal if quantity.better == "lower" else least
        most = quantity.ideal if quantity.better == "higher" else most
    low, high = (min(max(end + shift, least), most) for end in (interval.low, interval.high))
    return replace(interval, estimate=value, low=low, high=high)


def _over_models(
    evaluation: Evaluation,
    unlearned: Population,
    retrained: Population,
    problem: UnlearningProblem,
    resampling: Resampling,
) -> dict[str, Interval]:
    u, r = evaluation.reduced(unlearned, problem), evaluation.reduced(retrained, problem)
    everything = torch.arange(len(u))
    # All quantities of a replicate come from one call: the draws are the same for each.
    known: dict[tuple[int, ...], Mapping[str, float]] = {}

    def values(rows_r: Tensor, rows_u: Tensor) -> Mapping[str, float]:
        drawn = (*rows_r.tolist(), *rows_u.tolist())
        if drawn not in known:
            known[drawn] = evaluation.resampled(
                u.take(rows_u.tolist()), r.take(rows_r.tolist()), problem
            )
        return known[drawn]

    def one(rows_r: Tensor, rows_u: Tensor, *, quantity: str) -> float:
        return values(rows_r, rows_u)[quantity]

    replicates = min(resampling.models, evaluation.max_replicates)
    return {
        quantity: bootstrap_models(
            partial(one, quantity=quantity),
            everything,
            everything,
            replicates=replicates,
            level=resampling.level,
        )
        for quantity in evaluation.quantities
    }
