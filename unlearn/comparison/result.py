"""What a comparison found: rows of numbers with their uncertainty, pairs of methods, notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from unlearn.comparison.published import Published, PublishedValue
from unlearn.evals.base import Quantity
from unlearn.metrics.intervals import Interval
from unlearn.metrics.means import ModelMean

RowKind = Literal["noise floor", "do-nothing", "method"]
NOISE_FLOOR = "retrained"
COMMAND = " Run:  "  # what stands between a note and the command that helps


@dataclass(frozen=True)
class Number:
    """One cell: a mean over models, or one number of a whole population.

    Attributes:
        value: NaN where there is none; `note` then says why.
        std: standard deviation over models, NaN for numbers of populations.
        n: models of each kind it was made from.
        n_retrained: retrained models behind a mean distance, 0 where it is no distance.
        over_models: its interval, resampling models.
        over_examples: its interval, resampling examples.
        gap: value minus that of the noise floor, with an interval over models.
        protocol: definition and constants.
        note: why there is no value.
        mean: each model's part in it, for numbers of single models.
        draws: its replicates `(replicates,)`, for numbers of populations.
        fewest: models of a kind from which it is tested; None = it is not.
        as_retrained: whether it is not told apart from the noise floor; None = not tested.
        as_nothing: whether it is not told apart from doing nothing; None = not tested.
        p_value: of the hypothesis that both populations are of one kind, by relabelling; NaN where
            that was not tested.
        without: what the number would be on average if they were.
    """

    value: float
    std: float = math.nan
    n: int = 0
    n_retrained: int = 0
    over_models: Interval | None = None
    over_examples: Interval | None = None
    gap: Interval | None = None
    protocol: str = ""
    note: str = ""
    mean: ModelMean | None = None
    draws: Tensor | None = None
    fewest: int | None = None
    as_retrained: bool | None = None
    as_nothing: bool | None = None
    p_value: float = math.nan
    without: float = math.nan

    @property
    def interval(self) -> Interval | None:
        """The interval shown in tables, over models; None where there is none that holds."""
        if self.over_models is not None and not math.isnan(self.over_models.low):
            return self.over_models
        return None


@dataclass(frozen=True)
class Row:
    """One method with one set of hyper-parameters, or the noise floor, or doing nothing.

    Attributes:
        label: name.
        kind: what the row is.
        starts: `each` model has an original model of its own, or all have `one`.
        numbers: cells by `<evaluation>/<quantity>`.
        runs: per-run numbers: `seed`, `original_seed`, `metrics`.
        flags: what makes the row suspicious, in words.
        values: hyper-parameters.
        examples: numbers of each forget example.
        scores: an attack's scores by kind of model, by evaluation.
        controls: number of control models behind memory and shift.
        models: models of each kind that its population numbers were made from.
    """

    label: str
    kind: RowKind
    starts: str
    numbers: Mapping[str, Number]
    runs: Sequence[Mapping[str, Any]]
    flags: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    examples: Mapping[str, Tensor] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    controls: int = 0
    models: int = 0


@dataclass(frozen=True)
class Pair:
    """Two rows on one number: first minus second.

    Attributes:
        metric: key of the number.
        first: label of a row.
        second: label of another.
        difference: with its interval over models.
        n: models of each kind.
        p_value: two-sided, of this comparison.
        p_holm: corrected for all comparisons of the table.
        detectable: true difference that this comparison finds with probability 0.8.
    """

    metric: str
    first: str
    second: str
    difference: Interval
    n: int
    p_value: float
    p_holm: float
    detectable: float


@dataclass(frozen=True)
class Check:
    """A published value beside what was measured.

    Attributes:
        published: the value, its tolerance and source.
        row: label of the row that was measured.
        number: of that row.
        verdict: `inside` or `outside` the tolerance, or that this cannot be said.
        why: it cannot, empty where it can.
    """

    published: PublishedValue
    row: str
    number: Number
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class PublishedTable:
    """What a study published beside what was measured.

    Attributes:
        preset: name of the preset that states its setting.
        study: its name, where tolerances come from.
        checks: its values beside numbers.
        notes: what is not shown, and why; how orders of methods compare.
    """

    preset: str
    study: Published
    checks: Sequence[Check]
    notes: Sequence[str]


@dataclass(frozen=True)
class ComparisonReport:
    """A finished comparison; what tables, pages and loggers are made from.

    Attributes:
        name: of the problem.
        digest: of the problem.
        synthetic: whether the data are generated.
        task: task type.
        sizes: examples by split.
        quantities: meaning of every number, by key, in the order of the tables.
        populations: keys of the numbers that belong to populations of models.
        level: coverage of intervals, and 1 - size of tests.
        rows: noise floor, doing nothing, methods.
        pairs: paired comparisons.
        notes: what a reader has to know, commands that make missing models among it.
        provenance: versions, hardware, seeds, command lines.
        forget_index: example ids of the forget set.
        forget_targets: their labels or values.
        published: what a study published, None without any.
        folder: where the report lies, None before it is written.
        pictures: PNG files by name, in the order of the page.
    """

    name: str
    digest: str
    synthetic: bool
    task: str
    sizes: Mapping[str, int]
    quantities: Mapping[str, Quantity]
    populations: frozenset[str]
    level: float
    rows: Sequence[Row]
    pairs: Sequence[Pair]
    notes: Sequence[str]
    provenance: Mapping[str, Any]
    forget_index: Tensor
    forget_targets: Tensor
    published: PublishedTable | None = None
    folder: Path | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)

    @property
    def title(self) -> str:
        forget, retain = self.sizes["forget"], self.sizes.get("retain", 0)
        synthetic = " (synthetic data)" if self.synthetic else ""
        return f"{self.name}: forget {forget} of {forget + retain}{synthetic}"

    def of_kind(self, kind: RowKind) -> list[Row]:
        """Rows of a kind, in order."""
        return [row for row in self.rows if row.kind == kind]
