"""What a study published, as a preset of conf/experiment states it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from unlearn.errors import UserError

ORIGINAL, RETRAINED = "original", "retrain"  # methods of conf/method that are reference models here


@dataclass(frozen=True)
class PublishedValue:
    """One number of one table.

    Attributes:
        quantity: our key of it, `<evaluation>/<quantity>`.
        value: in our unit; shares lie in [0, 1].
        tolerance: how far from it a number of ours may lie to count as the same, in that unit.
        source: where it stands, such as `table 1`.
        method: of conf/method; `original` and `retrain` are the models before unlearning and
            without the forget set; None = whatever method was run.
        models: models of each kind behind a number of populations; such numbers do not compare
            across numbers of models. None where that does not matter.
        settings: of the evaluation, where it is not our default.

    Raises:
        UserError: a value or tolerance that is no number.
    """

    quantity: str
    value: float
    tolerance: float
    source: str
    method: str | None = None
    models: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        which = f"published: {self.quantity} of {self.method or 'any method'}"
        if not math.isfinite(self.value):
            raise UserError(f"{which}: value must be finite, got {self.value}")
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise UserError(f"{which}: tolerance must be above 0, got {self.tolerance}")
        if not self.source.strip():
            raise UserError(f"{which}: source is empty: name the paper's table")
        if self.models is not None and self.models < 1:
            raise UserError(f"{which}: models must be at least 1, got {self.models}")


@dataclass(frozen=True)
class Published:
    """`published`: what a study found in the setting of a preset.

    Attributes:
        study: its name.
        tolerance: where the tolerances come from, in words.
        rows: its numbers.
        scaled_down: what is smaller than in the study, where the preset is not its setting.
        starts: `one` where all runs of the study start from one original model, whose numbers of
            populations are others than those of runs from originals of their own; None = either.

    Raises:
        UserError: two rows for one number.
    """

    study: str
    tolerance: str
    rows: list[PublishedValue]
    scaled_down: str | None = None
    starts: Literal["one"] | None = None

    def __post_init__(self) -> None:
        seen = set()
        for row in self.rows:
            key = (row.quantity, row.method, row.models, repr(sorted(row.settings.items())))
            if key in seen:
                of = f" of {row.method}" if row.method else ""
                raise UserError(f"published.rows: {row.quantity}{of} is there twice; keep one")
            seen.add(key)


@dataclass(frozen=True)
class Preset:
    """A preset's published values beside what was asked for.

    Attributes:
        name: of the preset.
        published: its values.
        differs: how the problem differs from the preset's, in words; empty where it does not.
        methods: the preset's values of every method that may be compared, by name.
        evaluations: the settings that each evaluation has, by name.
        defaults: those it has in the preset.
    """

    name: str
    published: Published
    differs: Sequence[str]
    methods: Mapping[str, Mapping[str, Any]]
    evaluations: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Mapping[str, Any]]


def differences(
    mine: Mapping[str, Any],
    theirs: Mapping[str, Any],
    where: str,
    places: Sequence[str] = (),
    whose: str = "the preset's",
) -> list[str]:
    """Settings that differ, one a line, such as `recipe.epochs is 2, the preset's 100`.

    Args:
        mine: settings, nested.
        theirs: those they are compared with.
        where: key of both.
        places: keys that only say where files lie.
        whose: who has the others, in words.
    """
    a, b = dict(flat(mine, where)), dict(flat(theirs, where))
    keys = [key for key in {**a, **b} if key not in places]
    nothing = "not set"
    return [
        f"{key} is {a.get(key, nothing)}, {whose} {b.get(key, nothing)}"
        for key in keys
        if a.get(key, nothing) != b.get(key, nothing)
    ]


def flat(values: Mapping[str, Any], where: str) -> list[tuple[str, Any]]:
    """Settings by dotted key."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        dotted = f"{where}.{key}"
        found += flat(value, dotted) if isinstance(value, Mapping) else [(dotted, value)]
    return found
