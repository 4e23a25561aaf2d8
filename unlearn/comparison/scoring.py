"""From groups of models to numbers with uncertainty."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearn.comparison.groups import Group
from unlearn.comparison.result import Number
from unlearn.comparison.yardstick import Metrics
from unlearn.errors import UserError
from unlearn.evals.base import Comparison, Evaluation, Quantity
from unlearn.metrics.bootstrap import bootstrap_examples
from unlearn.metrics.intervals import Interval, interval
from unlearn.metrics.means import (
    ModelMean,
    mean_difference,
    mean_interval,
    mean_of_pairs,
    mean_of_retrained,
    mean_of_retrained_pairs,
    mean_of_runs,
)
from unlearn.metrics.resampling import FEWEST_MODELS, ModelDraws, restated
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population

UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True)
class Resampling:
    """The evaluate group `resampling`.

    Attributes:
        models: replicates of numbers of populations, each from a part of the models.
        relabellings: random exchanges of two kinds of models, in tests of whether they differ.
        examples: replicates of intervals over examples.
        level: coverage of intervals, and 1 - size of tests.
        seed: of all draws.
    """

    models: int = 60
    relabellings: int = 199
    examples: int = 1000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        few = min(self.models, self.examples, self.relabellings)
        if few < 2 or not 0 < self.level < 1:
            raise UserError(
                "resampling: models, relabellings and examples must be at least 2, level must lie "
                f"between 0 and 1; got {self.models}, {self.relabellings}, {self.examples}, "
                f"{self.level}"
            )
        if self.seed < 0:
            raise UserError(f"resampling.seed must be at least 0, got {self.seed}")

    def draws(self, evaluation: Evaluation) -> ModelDraws:
        """The models of every replicate of an evaluation's numbers."""
        replicates = min(self.models, evaluation.max_replicates)
        return ModelDraws(replicates, self.seed, evaluation.extremes)

    def over_examples(self, values: Tensor, where: str) -> Interval | None:
        """Interval of a mean or median of examples, None where there are fewer than two values."""
        kept = values.double()
        kept = kept[~kept.isnan()]
        if kept.numel() < 2 or (where == "mean" and not kept.isfinite().all()):
            return None
        return bootstrap_examples(
            kept,
            where,  # type: ignore[arg-type]
            replicates=self.examples,
            level=self.level,
        )


def run_numbers(
    group: Group,
    metrics: Sequence[Metrics],
    distances: Sequence[Mapping[str, Tensor]],
    level: float,
    quantities: Mapping[str, Quantity] | None = None,
) -> dict[str, Number]:
    """Numbers of single models: mean, deviation and Student's t interval, by key.

    Args:
        group: the models; where these are the retrained models, what each has to the others counts.
        metrics: numbers of each.
        distances: of numbers that are means over retrained models, the part of each of these.
        level: coverage of intervals.
        quantities: meaning of the numbers by key, which says what they can be.
    """
    numbers = {}
    bounds = {key: bounds_of(quantity) for key, quantity in (quantities or {}).items()}
    keys = group.pair_keys
    for key in dict.fromkeys(key for run in metrics for key in run):
        kept = [i for i, run in enumerate(metrics) if not math.isnan(run.get(key, math.nan))]
        values = [metrics[i][key] for i in kept]
        if not values:
            continue
        mean = _model_mean(
            group, values, [keys[i] for i in kept], [distances[i].get(key) for i in kept]
        )
        numbers[key] = Number(
            mean.value,
            statistics.stdev(values) if len(values) > 1 else math.nan,
            len(values),
            n_retrained=len(mean.retrained) if mean.own.numel() else 0,
            over_models=mean_interval(mean, level, bounds.get(key, UNBOUNDED)),
            mean=mean,
        )
    return numbers


def _model_mean(
    group: Group,
    values: Sequence[float],
    keys: Sequence[Hashable],
    distances: Sequence[Tensor | None],
) -> ModelMean:
    finite = all(math.isfinite(value) for value in values)
    parts = [d for d in distances if d is not None]
    if len(parts) == len(values) and finite:
        matrix = torch.stack(parts)
        if group.kind != "retrained":
            return mean_of_pairs(matrix, keys)
        if len(parts) > 1 and matrix.shape[0] == matrix.shape[1]:
            return mean_of_retrained_pairs(matrix)
    return mean_of_retrained(values) if group.kind == "retrained" else mean_of_runs(values, keys)


def gap_to(first: Number, second: Number, level: float) -> Interval | None:
    """First minus second, None where one of them is no mean over models."""
    if first.mean is None or second.mean is None:
        return None
    return mean_difference(first.mean, second.mean, level).interval


def population(group: Group, problem: UnlearningProblem) -> Population:
    """Predictions of all members of a group, stacked."""
    regression = not problem.task.is_classification
    return Population.of({str(i): m.read() for i, m in enumerate(group.members)}, regression)


def population_numbers(
    name: str,
    evaluation: Evaluation,
    unlearned: Population,
    reference: Population,
    problem: UnlearningProblem,
    resampling: Resampling,
    keys: tuple[str, str],
) -> tuple[dict[str, Number], Comparison]:
    """An evaluation's numbers of two populations of equal size, with intervals.

    Args:
        name: of the evaluation, for keys.
        evaluation: one that compares populations.
        unlearned: models to judge.
        reference: models to judge them by.
        problem: splits and task.
        resampling: replicates and level.
        keys: of the draws of both: equal keys, equal draws.
    """
    count = min(len(unlearned), len(reference))
    rows = range(count)
    u, r = unlearned.take(rows), reference.take(rows)
    comparison = evaluation.compare(u, r, problem)
    draws = _replicates(evaluation, u, r, problem, resampling, keys)
    numbers = {}
    for quantity, value in comparison.values.items():
        over_examples = None
        if quantity in evaluation.over_examples:
            part, where = evaluation.over_examples[quantity]
            if part in comparison.examples:
                over_examples = resampling.over_examples(comparison.examples[part], where)
        fewest = evaluation.fewest.get(quantity, evaluation.min_models)
        over_models = None
        if quantity in draws and fewest is not None:
            over_models = interval(
                value,
                draws[quantity],
                count,
                resampling.level,
                fewest=fewest,
                bounds=bounds_of(evaluation.quantities[quantity]),
            )
        numbers[f"{name}/{quantity}"] = Number(
            value,
            n=count,
            over_models=over_models,
            over_examples=over_examples,
            protocol=comparison.protocol,
            draws=draws.get(quantity),
            fewest=fewest,
        )
    return numbers, comparison


def bounds_of(quantity: Quantity) -> tuple[float, float]:
    """Smallest and largest possible value of a quantity."""
    least, most = (0.0, 1.0) if quantity.unit == "%" else (quantity.least, math.inf)
    if quantity.ideal is not None:
        least = quantity.ideal if quantity.better == "lower" else least
        most = quantity.ideal if quantity.better == "higher" else most
    return least, most


def _replicates(
    evaluation: Evaluation,
    unlearned: Population,
    reference: Population,
    problem: UnlearningProblem,
    resampling: Resampling,
    keys: tuple[str, str],
) -> dict[str, Tensor]:
    """The numbers in every replicate, `(replicates,)` by quantity."""
    count = len(unlearned)
    if count < FEWEST_MODELS or not evaluation.max_replicates:
        return {}
    u, r = evaluation.reduced(unlearned, problem), evaluation.reduced(reference, problem)
    draws = resampling.draws(evaluation)
    rows_u, rows_r = draws.of(keys[0], count), draws.of(keys[1], count)
    found: dict[str, list[float]] = {}
    for one, other in zip(rows_u.tolist(), rows_r.tolist(), strict=True):
        for quantity, value in evaluation.resampled(u.take(one), r.take(other), problem).items():
            found.setdefault(quantity, []).append(value)
    drawn = {key: torch.tensor(values, dtype=torch.float64) for key, values in found.items()}
    return {k: restated(v, count) for k, v in drawn.items()} if evaluation.extremes else drawn
