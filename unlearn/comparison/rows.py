"""Rows of the comparison: one group of models scored against the retrained models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from unlearn.comparison.concurrency import concurrently
from unlearn.comparison.groups import Group
from unlearn.comparison.memory import MEMORY, SHIFT, relabelled
from unlearn.comparison.result import NOISE_FLOOR, Number, Row, RowKind
from unlearn.comparison.scoring import (
    Resampling,
    gap_to,
    population,
    population_numbers,
    run_numbers,
)
from unlearn.comparison.yardstick import Yardstick
from unlearn.evals.base import Comparison, Evaluation
from unlearn.metrics.intervals import Interval
from unlearn.storage.predictions import Population

# Names of the draws of retrained models; rows have names of their own.
REFERENCE, FLOOR = "retrained: reference", "retrained: noise floor"


class RowMaker:
    """Scores groups against the retrained models.

    The bank of retrained models is divided in two: those of even seeds are what populations are
    compared with, those of odd seeds are the noise floor, a population like any other, and what
    the models of control runs started from. Nothing is ever compared with itself.

    Args:
        yardstick: problem and evaluations.
        retrained: the bank of retrained models.
        resampling: replicates and level.
        memory: give memory and shift of retraining and of doing nothing too, which need no control
            runs; without control runs of any method they would stand alone.
    """

    def __init__(
        self, yardstick: Yardstick, retrained: Group, resampling: Resampling, memory: bool = True
    ):
        self.yardstick, self.resampling, self.group = yardstick, resampling, retrained
        self.memory = memory
        everyone = population(retrained, yardstick.problem)
        # By seed, not by position: a bank may have holes, and control runs start from odd seeds.
        even, odd = halves_of(retrained)
        self.reference, self.floor_models = everyone.take(even), everyone.take(odd)

    def noise_floor(self) -> Row:
        """The retrained models themselves: each beside the others, and half against half."""
        metrics = self.yardstick.of_all(self.group.members)
        row = Row(
            NOISE_FLOOR,
            "noise floor",
            "",
            self._of_runs(self.group, metrics),
            _runs(self.group, metrics),
        )
        row = self._with_populations(row, self.floor_models, FLOOR)
        if not self.memory:
            return row
        # One half takes the place of unlearned models, the other that of control models.
        return self._with_memory(row, self.reference, REFERENCE, self.floor_models, FLOOR)

    def row(self, group: Group, control: Group | None, floor: Row, flags: Sequence[str]) -> Row:
        """A method, or doing nothing, against the retrained models.

        Args:
            group: the models.
            control: the same method's models that never saw the forget set, None without any.
                Doing nothing has the retrained models.
            floor: the row that `noise_floor` made.
            flags: what makes the models suspicious.
        """
        metrics = self.yardstick.of_all(group.members)
        kind: RowKind = "do-nothing" if group.kind == "do-nothing" else "method"
        row = Row(
            group.label,
            kind,
            group.starts,
            self._of_runs(group, metrics),
            _runs(group, metrics),
            tuple(flags),
            group.values,
            controls=0 if control is None else len(control),
        )
        unlearned = population(group, self.yardstick.problem)
        key = draw_key(group, len(self.reference))
        row = self._with_populations(row, unlearned, key)
        if kind == "do-nothing" and self.memory:
            row = self._with_memory(row, unlearned, key, self.floor_models, FLOOR)
        elif control is not None:
            models = population(control, self.yardstick.problem)
            row = self._with_memory(
                row, unlearned, key, models, f"control: {draw_key(control, len(self.reference))}"
            )
        return replace(
            row,
            numbers={
                key: replace(number, gap=self._gap(number, floor.numbers.get(key)))
                for key, number in row.numbers.items()
            },
        )

    def _of_runs(self, group: Group, metrics: Sequence[Mapping[str, float]]) -> dict[str, Number]:
        distances = concurrently(self.yardstick.distances, group.members)
        return run_numbers(
            group,
            [dict(m) for m in metrics],
            distances,
            self.resampling.level,
            self.yardstick.quantities,
        )

    def _with_populations(self, row: Row, unlearned: Population, key: str) -> Row:
        found = self._compared(unlearned, self.reference, (key, REFERENCE))
        numbers, examples = dict(row.numbers), dict(row.examples)
        scores: dict[str, Mapping[str, Tensor]] = {}
        for name, (values, comparison) in found.items():
            evaluation = self.yardstick.of_populations[name]
            if row.kind != "noise floor":
                values = self._tested(name, evaluation, values, unlearned, self.reference)
            numbers.update(values)
            examples.update(comparison.examples)
            if comparison.scores:
                scores[name] = comparison.scores
        available = min(len(unlearned), len(self.reference))
        for name, lacking in self.yardstick.of_populations.items():
            if name not in found:
                note = f"{available} models of each kind, {lacking.min_models} are needed"
                for quantity in lacking.quantities:
                    numbers[f"{name}/{quantity}"] = Number(math.nan, n=available, note=note)
        return replace(row, numbers=numbers, examples=examples, scores=scores, models=available)

    def _with_memory(
        self, row: Row, unlearned: Population, key: str, control: Population, control_key: str
    ) -> Row:
        """Adds memory, unlearned against control models, and shift, control against retrained."""
        numbers, examples = dict(row.numbers), dict(row.examples)
        for prefix, one, other, keys in (
            (MEMORY, unlearned, control, (key, control_key)),
            (SHIFT, control, self.reference, (control_key, REFERENCE)),
        ):
            for name, (values, comparison) in self._compared(one, other, keys).items():
                evaluation = self.yardstick.of_populations[name]
                if row.kind != "noise floor":
                    values = self._tested(name, evaluation, values, one, other)
                numbers.update({prefix + k: number for k, number in values.items()})
                examples.update({prefix + k: values for k, values in comparison.examples.items()})
        return replace(row, numbers=numbers, examples=examples)

    def _tested(
        self,
        name: str,
        evaluation: Evaluation,
        numbers: Mapping[str, Number],
        one: Population,
        other: Population,
    ) -> dict[str, Number]:
        chosen = [q for q in evaluation.remembers if f"{name}/{q}" in numbers]
        if not chosen or not evaluation.max_replicates:
            return dict(numbers)
        found = relabelled(evaluation, one, other, self.yardstick.problem, chosen, self.resampling)
        tested = {
            f"{name}/{q}": replace(
                numbers[f"{name}/{q}"], p_value=found[q].p_value, without=found[q].without
            )
            for q in chosen
        }
        return {**numbers, **tested}

    def _compared(
        self, unlearned: Population, reference: Population, keys: tuple[str, str]
    ) -> dict[str, tuple[dict[str, Number], Comparison]]:
        """Numbers of every evaluation for which there are enough models of both kinds."""
        available = min(len(unlearned), len(reference))
        enough = {
            name: e
            for name, e in self.yardstick.of_populations.items()
            if available >= e.min_models
        }

        def compared(name: str) -> tuple[dict[str, Number], Comparison]:
            return population_numbers(
                name,
                enough[name],
                unlearned,
                reference,
                self.yardstick.problem,
                self.resampling,
                keys,
            )

        return dict(zip(enough, concurrently(compared, list(enough)), strict=True))

    def _gap(self, number: Number, floor: Number | None) -> Interval | None:
        """How far a number is from the noise floor's."""
        if floor is None or math.isnan(floor.value) or math.isnan(number.value):
            return None
        level = self.resampling.level
        found = gap_to(number, floor, level)
        if found is None and number.n != floor.n:  # numbers of populations change with their size
            return None
        return found or Interval(number.value - floor.value, math.nan, math.nan, level, "models", 0)


def halves_of(retrained: Group) -> tuple[list[int], list[int]]:
    """Positions of the models that populations are compared with, and of the noise floor's: those
    of even and of odd seeds. As many of each; a lone model is compared with, and has no floor."""
    even = [i for i, member in enumerate(retrained.members) if member.seed % 2 == 0]
    odd = [i for i, member in enumerate(retrained.members) if member.seed % 2]
    if not even or not odd:
        return even or odd, []
    half = min(len(even), len(odd))
    return even[:half], odd[:half]


def draw_key(group: Group, count: int) -> str:
    """Name of a group's draws: groups whose models started alike share them, so that what the
    starting models happen to be cancels in a difference of two rows."""
    return f"{group.pair_keys[:count]}"


def _runs(group: Group, metrics: Sequence[Mapping[str, float]]) -> list[dict[str, object]]:
    return [
        {"seed": member.seed, "original_seed": member.original_seed, "metrics": values}
        for member, values in zip(group.members, metrics, strict=True)
    ]
