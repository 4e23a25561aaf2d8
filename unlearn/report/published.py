"""Published values beside measured ones, as text."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping

from unlearn.comparison.result import Check, PublishedTable
from unlearn.evals.base import Quantity
from unlearn.report.numbers import heading

HEADS = ("of", "number", "published", "measured", "n", "verdict", "source")
COLUMNS = (
    "preset", "study", "source", "method", "metric", "published", "tolerance", "row", "measured",
    "low_models", "high_models", "n", "verdict", "why",
)  # fmt: skip


def title(table: PublishedTable) -> str:
    """Heading of the table."""
    return f"Published by {table.study.study}"


def legend(table: PublishedTable) -> str:
    """What the verdicts mean; empty where there is none."""
    if not table.checks:
        return ""
    words = "Inside: the measured number lies within the tolerance of the published one."
    return f"{words} Tolerances: {table.study.tolerance.rstrip('.')}."


def notes(table: PublishedTable) -> list[str]:
    """What stands below the table: why a verdict cannot be given, what is not shown."""
    reasons: dict[str, list[str]] = {}
    for check in table.checks:
        if check.why:
            which = f"{check.row} {check.published.quantity}"
            reasons.setdefault(f"{check.verdict.capitalize()}: {check.why}", []).append(which)
    return [*(f"{why} ({', '.join(of)})." for why, of in reasons.items()), *table.notes]


def lines(table: PublishedTable, quantities: Mapping[str, Quantity]) -> list[tuple[str, ...]]:
    """One line a published value, under `HEADS`."""
    return [_line(check, quantities[check.published.quantity]) for check in table.checks]


def _line(check: Check, quantity: Quantity) -> tuple[str, ...]:
    said, number = check.published, check.number
    published = f"{_exact(said.value, quantity)} ± {_exact(said.tolerance, quantity)}"
    measured = _exact(number.value, quantity)
    interval = number.interval
    if interval is not None:
        low, high = _exact(interval.low, quantity), _exact(interval.high, quantity)
        measured += f" [{low}, {high}]"
    head = heading(quantity, arrow=False)
    return check.row, head, published, measured, str(number.n), check.verdict, said.source


def _exact(value: float, quantity: Quantity) -> str:
    """With the digits that papers print."""
    if not math.isfinite(value):
        return str(value).replace("inf", "∞")
    return f"{100 * value:.2f}" if quantity.unit == "%" else f"{value:.4g}"


def published_csv(table: PublishedTable) -> str:
    """One line a published value; shares lie in [0, 1]."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for check in table.checks:
        said, interval = check.published, check.number.interval
        ends = (interval.low, interval.high) if interval else ("", "")
        writer.writerow(
            (table.preset, table.study.study, said.source, said.method or "", said.quantity)
            + (said.value, said.tolerance, check.row, check.number.value, *ends, check.number.n)
            + (check.verdict, check.why)
        )
    return buffer.getvalue()
