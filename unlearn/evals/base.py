"""The contract of an evaluation: declared inputs, quantities with a meaning, compute or compare."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lightning import Callback
from torch import Tensor, nn

from unlearn.metrics.bootstrap import Location
from unlearn.problem import UnlearningProblem
from unlearn.storage.predictions import BySplit, Population


@dataclass(frozen=True)
class Quantity:
    """What a number means.

    Attributes:
        label: column title.
        better: `higher`, `lower`, or `closer` to what retrained models get.
        ideal: the best value where it is known beforehand, None where retrained models set it.
        unit: `%` (a share in [0, 1], shown times 100), `s`, `MB`, or empty.
        headline: shown in the terminal's table.
        least: smallest possible value, where the ideal or the unit does not say it.
    """

    label: str
    better: Literal["higher", "lower", "closer"]
    ideal: float | None = None
    unit: str = ""
    headline: bool = False
    least: float = -math.inf


@dataclass(frozen=True)
class Comparison:
    """Result of comparing a population of unlearned models with retrained ones.

    Attributes:
        values: numbers by quantity.
        examples: per-example numbers `(examples,)` by name, in the order of the forget split.
        protocol: definition and constants in words, such as `competition, delta 1e-5`.
        scores: an attack's scores by kind of model, `unlearned` and `retrained`, higher = taken for
            unlearned; what an error trade-off curve is drawn from.
    """

    values: Mapping[str, float]
    examples: Mapping[str, Tensor] = field(default_factory=dict)
    protocol: str = ""
    scores: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Outputs:
    """Everything the evaluations of one run read.

    Attributes:
        unlearned: predictions of the evaluated model by split.
        original: predictions of the original model.
        retrained: predictions of the reference retrained models, one mapping each.
        costs: the run's costs, as in its record.
        retraining: costs of the reference retrained models.
        original_state: weights of the original model.
    """

    unlearned: BySplit
    original: BySplit
    retrained: list[BySplit] = field(default_factory=list)
    costs: Mapping[str, Any] = field(default_factory=dict)
    retraining: Sequence[Mapping[str, Any]] = ()
    original_state: Mapping[str, Tensor] = field(default_factory=dict)


class Evaluation(Callback):
    """Base of every evaluation. It may also use Lightning's hooks to watch the run.

    A per-run evaluation implements `compute`, one of populations of runs implements `compare` and
    sets `min_models`.

    Attributes:
        splits: splits whose outputs it needs.
        optional_splits: splits it uses where the problem has them.
        references: reference models it needs: `original`, `retrained`.
        tasks: task types it supports.
        quantities: its numbers; the key in tables is `<evaluation>/<quantity>`.
        min_models: models of each kind without which `compare` gives no number; 0 = per run.
        wants_models: models of each kind that its authors used or recommend.
        uses_network: True where `compute` reads weights or runs the network, and so needs runs that
            kept theirs.
        fresh_network: True where it needs a newly initialised network of the problem.
        over_examples: quantities of `compare` that are the mean or median of one of its per-example
            numbers, which gives them an interval over examples too.
        fewest: models of a kind from which a quantity's interval covers what it claims, by
            quantity; without an entry `min_models`, None = never, it is printed without one.
        remembers: quantities of `compare` that are also given for memory and shift, see
            `comparison/memory.py`, as headline numbers.
        max_replicates: most replicates that `resampled` can afford.
        extremes: whether its numbers are extremes over thresholds, whose replicates keep fewer
            models (`metrics/resampling.py`).
        version: raised when a change of the code changes its numbers, so that older ones are not
            taken for them.
    """

    splits: ClassVar[tuple[str, ...]] = ()
    optional_splits: ClassVar[tuple[str, ...]] = ()
    references: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression")
    quantities: ClassVar[Mapping[str, Quantity]] = {}
    min_models: ClassVar[int] = 0
    wants_models: ClassVar[int] = 0
    uses_network: ClassVar[bool] = False
    fresh_network: ClassVar[bool] = False
    over_examples: ClassVar[Mapping[str, tuple[str, Location]]] = {}
    fewest: ClassVar[Mapping[str, int | None]] = {}
    remembers: ClassVar[tuple[str, ...]] = ()
    max_replicates: ClassVar[int] = 1000
    extremes: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def compute(
        self, outputs: Outputs, problem: UnlearningProblem, net: nn.Module
    ) -> dict[str, float]:
        """Numbers of one run.

        Args:
            outputs: predictions of the unlearned, original and retrained models, and costs.
            problem: splits and task.
            net: the unlearned network, in evaluation mode; must not be changed. A placeholder
                unless `uses_network`.
        """
        return {}

    def distances(self, outputs: Outputs, problem: UnlearningProblem) -> Mapping[str, Tensor]:
        """Of numbers of one run that are means over retrained models, the part of each of these.

        Returns:
            `(retrained,)` by quantity; its mean is the number that `compute` gives.
        """
        return {}

    def compare(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Comparison:
        """Numbers of a population of unlearned models against retrained ones.

        Args:
            unlearned: at least `min_models` models.
            retrained: at least `min_models` models.
            problem: splits and task.
        """
        raise NotImplementedError(f"{type(self).__name__} compares no populations")

    def reduced(self, population: Population, problem: UnlearningProblem) -> Population:
        """The same population with only what `compare` reads of it, so that resampling is cheap."""
        return population

    def resampled(
        self, unlearned: Population, retrained: Population, problem: UnlearningProblem
    ) -> Mapping[str, float]:
        """The numbers of `compare` for one replicate, of reduced populations."""
        return self.compare(unlearned, retrained, problem).values

    def described(self, problem: UnlearningProblem) -> Mapping[str, Quantity]:
        """The quantities as they mean on this problem; the same everywhere unless overridden."""
        return self.quantities

    def supports(self, problem: UnlearningProblem) -> bool:
        """Whether its numbers are defined for the problem's task."""
        return problem.task.kind in self.tasks

    def needed_splits(self, problem: UnlearningProblem) -> set[str]:
        """Names of the splits whose outputs this evaluation reads on this problem."""
        return {*self.splits, *(s for s in self.optional_splits if s in problem.splits)}


def keyed(name: str, values: Mapping[str, Any]) -> dict[str, float]:
    """Numbers under their table keys `<evaluation>/<quantity>`."""
    return {f"{name}/{quantity}": float(value) for quantity, value in values.items()}


def utility_split(problem_splits: Collection[str]) -> str:
    """The test examples whose accuracy a method should keep: those of kept classes, where whole
    classes are forgotten."""
    return "retain_test" if "retain_test" in problem_splits else "test"
