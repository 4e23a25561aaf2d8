"""Numbers as text, and which of them is best."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.evals.base import Quantity

ARROWS = {"higher": "↑", "lower": "↓", "closer": "→R"}


def text(value: float, quantity: Quantity) -> str:
    """A number in the quantity's unit, with as many digits as a table wants."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if quantity.unit == "%":
        return f"{100 * value:.1f}".replace("100.0", "100")
    size = abs(value)
    if size and (size < 0.001 or size >= 1e5):
        return f"{value:.1e}"
    return f"{value:.0f}" if size >= 1000 else f"{value:.3f}" if size < 10 else f"{value:.1f}"


def interval_text(number: Number, quantity: Quantity) -> str:
    """`[low, high]`, or nothing where there is no interval."""
    interval = number.interval
    if interval is None or not math.isfinite(number.value) or math.isnan(interval.low):
        return ""
    return f"[{text(interval.low, quantity)}, {text(interval.high, quantity)}]"


def heading(quantity: Quantity, arrow: bool = True) -> str:
    """Column title with its unit and an arrow to what is better."""
    unit = f" [{quantity.unit}]" if quantity.unit else ""
    return f"{quantity.label}{unit}" + (f" {ARROWS[quantity.better]}" if arrow else "")


def penalty(number: Number, quantity: Quantity, floor: Number | None) -> tuple[float, float, float]:
    """How bad a number is, with an interval: lower is better, whatever the quantity.

    `closer` counts the distance to the retrained models, whose number is the noise floor's.
    """
    interval = number.interval
    low, high = (interval.low, interval.high) if interval else (math.nan, math.nan)
    value = number.value
    if quantity.better == "higher":
        return -value, -high, -low
    if quantity.better == "lower":
        return value, low, high
    target = floor.value if floor else math.nan
    near, far = sorted((abs(low - target), abs(high - target)))
    return abs(value - target), 0.0 if low <= target <= high else near, far


def clear_winner(report: ComparisonReport, key: str) -> str | None:
    """The method that is best by more than chance: its interval and the runner-up's are apart."""
    quantity = report.quantities[key]
    floor = report.rows[0].numbers.get(key)
    ranked = sorted(
        (
            (*penalty(row.numbers[key], quantity, floor), row.label)
            for row in report.of_kind("method")
            if key in row.numbers
            and not row.flags
            and not math.isnan(penalty(row.numbers[key], quantity, floor)[0])
        ),
        key=lambda entry: entry[0],
    )
    if len(ranked) < 2 or not ranked[0][2] < ranked[1][1]:
        return None
    return ranked[0][3]


def headline_keys(report: ComparisonReport, populations: bool) -> list[str]:
    """Keys shown first: of single models, or of populations."""
    return [
        key
        for key, quantity in report.quantities.items()
        if quantity.headline and (key in report.populations) == populations
    ]


def models_text(row: Row) -> str:
    """How many models a row has and how they started."""
    starts = {"each": "", "one": ", one original", "": ""}[row.starts]
    return f"n={len(row.runs)}{starts}"


def protocols(report: ComparisonReport, keys: Sequence[str]) -> str:
    """Protocol, delta and number of models of population numbers, in words."""
    found: dict[str, str] = {}
    for key in keys:
        for row in report.rows:
            number = row.numbers.get(key)
            if number and number.protocol:
                found[key.split("/")[0]] = number.protocol
    return "; ".join(f"{name}: {words}" for name, words in found.items())
