"""Published values beside measured ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from unlearn.comparison.published import (
    ORIGINAL,
    RETRAINED,
    Preset,
    PublishedValue,
    differences,
)
from unlearn.comparison.result import (
    NOISE_FLOOR,
    Check,
    Number,
    PublishedTable,
    Row,
    RowKind,
)
from unlearn.comparison.scoring import bounds_of
from unlearn.evals.base import Quantity
from unlearn.metrics.means import mean_interval, mean_of_runs

INSIDE, OUTSIDE = "inside", "outside"
SCALED_DOWN = "scaled down: not the published setting"
LARGER = "larger: not the published setting"
ANOTHER = "not comparable: another definition"
STARTS = "not comparable: an original model for every run, the study has one for all"
NAMED = 3  # differences that are named
FEWEST_ORDERED = 3  # methods that make an order


def against_published(
    preset: Preset, rows: Sequence[Row], quantities: Mapping[str, Quantity]
) -> PublishedTable:
    """The published values of a preset beside the numbers of rows.

    A value is shown where problem, method and evaluation are the preset's own; a note says what
    differs where they are not. A number is inside when it lies within the tolerance.

    Args:
        preset: published values, and how the problem differs from the preset's.
        rows: noise floor, doing nothing, methods.
        quantities: meaning of every number that was asked for.
    """
    study = preset.published
    if preset.differs:
        why = _few(preset.differs)
        note = f"{study.study}: published values are not shown, for this is not the preset"
        return PublishedTable(preset.name, study, (), [f"{note} {preset.name}: {why}."])
    checks: list[Check] = []
    lacking: dict[tuple[str, str], list[str]] = {}
    for value in study.rows:
        for row in rows:
            if not _is_of(preset, value.method, row):
                continue
            number = row.numbers.get(value.quantity)
            if number is not None and not math.isnan(number.value):
                checks.append(_check(preset, value, row))
            else:
                note = (number and number.note) or "no number of single models"
                why = note if value.quantity in quantities else ""
                lacking.setdefault((value.quantity, why), []).append(row.label)
    notes = _other_values(preset, rows) + _not_measured(lacking)
    notes += [note for key, meaning in quantities.items() if (note := _order(checks, key, meaning))]
    return PublishedTable(preset.name, study, checks, notes)


def run_rows(
    method: str,
    values: Mapping[str, Any],
    references: Mapping[str, Sequence[Mapping[str, float]]],
    runs: Sequence[Mapping[str, float | None]],
    quantities: Mapping[str, Quantity],
) -> list[Row]:
    """Rows of one method's runs and the reference models, with numbers of single models.

    Args:
        method: its name.
        values: its hyper-parameters.
        references: numbers of every `original` and every `retrained` model, by key.
        runs: numbers of every run, by key.
        quantities: meaning of the numbers by key.
    """

    def row(label: str, kind: RowKind, models: Sequence[Mapping[str, float | None]]) -> Row:
        return Row(label, kind, "", _means(models, quantities), ())

    rows = [row(NOISE_FLOOR, "noise floor", references["retrained"])]
    if method == ORIGINAL:
        return [*rows, row(ORIGINAL, "do-nothing", runs)]
    rows += [row(ORIGINAL, "do-nothing", references["original"]), row(method, "method", runs)]
    return [*rows[:-1], replace(rows[-1], values=values)]


def _means(
    models: Sequence[Mapping[str, float | None]], quantities: Mapping[str, Quantity]
) -> dict[str, Number]:
    """Mean over models of every number, with its interval."""
    numbers = {}
    for key, quantity in quantities.items():
        values = [v for m in models if (v := m.get(key)) is not None and not math.isnan(v)]
        if values:
            mean = mean_of_runs(values, range(len(values)))
            over_models = mean_interval(mean, bounds=bounds_of(quantity))
            numbers[key] = Number(mean.value, n=len(values), over_models=over_models)
    return numbers


def _is_of(preset: Preset, method: str | None, row: Row) -> bool:
    """Whether a row is what a value was published of."""
    if method in (ORIGINAL, RETRAINED):
        return row.kind == ("do-nothing" if method == ORIGINAL else "noise floor")
    if row.kind != "method":
        return False
    return method is None or dict(row.values) == preset.methods.get(method)


def _check(preset: Preset, value: PublishedValue, row: Row) -> Check:
    number = row.numbers[value.quantity]
    name = value.quantity.split("/")[0]
    wanted = {**preset.defaults.get(name, {}), **value.settings}
    mine = preset.evaluations.get(name, {})
    other = differences(mine, wanted, f"eval.{name}", whose="the study's")
    count = f"{number.n} models of each kind, published with {value.models}"
    if other:
        verdict, why = ANOTHER, _few(other)
    elif preset.published.starts == "one" and row.starts == "each" and row.kind == "method":
        verdict, why = STARTS, ""
    elif preset.published.scaled_down:
        verdict, why = SCALED_DOWN, preset.published.scaled_down
    elif value.models not in (None, number.n):
        verdict, why = (SCALED_DOWN if number.n < (value.models or 0) else LARGER), count
    else:
        # Decimal numbers are not exact in binary: a distance of just the tolerance is inside.
        near = abs(number.value - value.value) <= value.tolerance * (1 + 1e-9)
        verdict, why = (INSIDE if near else OUTSIDE), ""
    return Check(value, row.label, number, verdict, why)


def _other_values(preset: Preset, rows: Sequence[Row]) -> list[str]:
    """Rows of a method that a value was published of, with other values than the preset's."""
    notes = []
    for row in rows:
        alike = {
            name: values
            for name, values in preset.methods.items()
            if row.kind == "method" and values.get("_target_") == row.values.get("_target_")
        }
        if alike and dict(row.values) not in alike.values():
            differ = min(
                (differences(row.values, v, "method") for v in alike.values()), key=lambda d: len(d)
            )
            notes.append(
                f"No published value beside {row.label}, whose values are not those of the preset "
                f"{preset.name}: {_few(differ)}."
            )
    return notes


def _not_measured(lacking: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    """Published numbers that rows lack: by number and reason, the rows; no reason where the
    number was not asked for."""
    notes = [
        f"Published and not measured: {key} of {', '.join(of)} ({why})."
        for (key, why), of in lacking.items()
        if why
    ]
    left = [key for key, why in lacking if not why]
    if left:
        names = ",".join(dict.fromkeys(key.split("/")[0] for key in left))
        notes.append(
            f"Published and not measured: {', '.join(left)}; eval=[...,{names}] of evaluate.py "
            "measures that."
        )
    return notes


def _order(checks: Sequence[Check], key: str, quantity: Quantity) -> str:
    """How the order of methods by a number compares with the published one."""
    ranked = [
        c
        for c in checks
        if c.published.quantity == key
        and c.verdict not in (ANOTHER, STARTS)
        and c.published.method not in (None, ORIGINAL, RETRAINED)
    ]
    if ranked and ranked[0].published.models is not None:  # it does not compare across these
        count = max({c.number.n for c in ranked}, key=[c.number.n for c in ranked].count)
        ranked = [c for c in ranked if c.number.n == count]
    if len(ranked) < FEWEST_ORDERED:
        return ""
    pairs = [
        (one.published.value - other.published.value) * (one.number.value - other.number.value)
        for one, other in combinations(ranked, 2)
        if one.published.value != other.published.value
    ]
    agree = sum(product > 0 for product in pairs)
    published = sorted(ranked, key=lambda c: c.published.value)
    measured = sorted(ranked, key=lambda c: c.number.value)
    return (
        f"Order by {quantity.label} ({key}), lowest first: published "
        f"{', '.join(c.row for c in published)}; measured {', '.join(c.row for c in measured)}: "
        f"{agree} of {len(pairs)} pairs in the published order."
    )


def _few(parts: Sequence[str]) -> str:
    more = f"; and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return "; ".join(parts[:NAMED]) + more
