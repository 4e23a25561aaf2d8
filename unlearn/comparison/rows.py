"""Rows of the comparison: one group of models scored against the retrained models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from unlearn.comparison.concurrency import concurrently
from unlearn.comparison.groups import Group
from unlearn.comparison.result import NOISE_FLOOR, Number, Row, RowKind
from unlearn.comparison.scoring import (
    Resampling,
    per_run_numbers,
    population,
    population_numbers,
)
from unlearn.comparison.yardstick import Metrics
from unlearn.evals.base import Comparison, Evaluation
from unlearn.metrics.bootstrap import Interval
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import Population


class RowMaker:
    """Scores groups against the retrained models, which are stacked once.

    Args:
        problem: splits and task.
        evaluations: of populations, by name.
        retrained: the bank of retrained models.
        resampling: replicates and level.
    """

    def __init__(
        self,
        problem: UnlearningProblem,
        evaluations: Mapping[str, Evaluation],
        retrained: Group,
        resampling: Resampling,
    ):
        self.problem, self.resampling, self.group = problem, resampling, retrained
        self.evaluations = evaluations
        self.retrained = population(retrained, problem)
        self.half = len(retrained) // 2

    def noise_floor(self, metrics: Sequence[Metrics]) -> Row:
        """Half of the retrained models scored against the other half.

        Numbers of one model are means over all retrained models; their gap is that of the halves.
        """
        first, second = metrics[: self.half], metrics[self.half : 2 * self.half]
        numbers = per_run_numbers(metrics, [], self.resampling)
        halves = per_run_numbers(second, first, self.resampling)
        numbers = {
            key: replace(number, gap=halves[key].gap if key in halves else None)
            for key, number in numbers.items()
        }
        row = Row(NOISE_FLOOR, "noise floor", "", numbers, _runs(self.group, metrics))
        one, other = (
            self.retrained.take(range(start, start + self.half)) for start in (0, self.half)
        )
        return self._with_populations(row, other, one)

    def row(
        self,
        group: Group,
        metrics: Sequence[Metrics],
        retrained_metrics: Sequence[Metrics],
        floor: Row,
        flags: Sequence[str],
    ) -> Row:
        """A method, or doing nothing, against all retrained models."""
        kind: RowKind = "do-nothing" if group.kind == "do-nothing" else "method"
        row = Row(
            group.label,
            kind,
            group.starts,
            per_run_numbers(metrics, retrained_metrics, self.resampling),
            _runs(group, metrics),
            tuple(flags),
            group.values,
        )
        row = self._with_populations(row, population(group, self.problem), self.retrained)
        numbers = {
            key: number if number.gap else replace(number, gap=self._to_floor(number, floor, key))
            for key, number in row.numbers.items()
        }
        return replace(row, numbers=numbers)

    def _with_populations(self, row: Row, unlearned: Population, retrained: Population) -> Row:
        numbers = dict(row.numbers)
        examples: dict[str, Tensor] = {}
        scores: dict[str, Mapping[str, Tensor]] = {}
        available = min(len(unlearned), len(retrained))
        enough = {name: e for name, e in self.evaluations.items() if available >= e.min_models}

        def compared(name: str) -> tuple[dict[str, Number], Comparison]:
            # As many models as the noise floor has, so that it is the floor of this number.
            has_floor = self.half >= enough[name].min_models
            count = min(available, self.half) if has_floor else available
            return population_numbers(
                name, enough[name], unlearned, retrained, self.problem, self.resampling, count
            )

        results = dict(zip(enough, concurrently(compared, list(enough)), strict=True))
        for name, evaluation in self.evaluations.items():
            if name not in results:
                note = f"{available} models of each kind, {evaluation.min_models} are needed"
                for quantity in evaluation.quantities:
                    numbers[f"{name}/{quantity}"] = Number(math.nan, n=available, note=note)
                continue
            found, comparison = results[name]
            numbers.update(found)
            examples.update(comparison.examples)
            if comparison.scores:
                scores[name] = comparison.scores
        return replace(row, numbers=numbers, examples=examples, scores=scores)

    def _to_floor(self, number: Number, floor: Row, key: str) -> Interval | None:
        """How far a population's number is from the noise floor."""
        base = floor.numbers.get(key)
        if base is None or math.isnan(base.value) or math.isnan(number.value):
            return None
        level = self.resampling.level
        return Interval(number.value - base.value, math.nan, math.nan, level, "models", 0)


def _runs(group: Group, metrics: Sequence[Metrics]) -> list[dict[str, object]]:
    return [
        {"seed": member.seed, "original_seed": member.original_seed, "metrics": values}
        for member, values in zip(group.members, metrics, strict=True)
    ]
