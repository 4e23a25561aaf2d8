"""Numbers as text, and which of them is best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.evals.base import Quantity

DAGGER = "†"  # of a row that is flagged, where there is no room to say why
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
    if interval is None or not math.isfinite(number.value):
        return ""
    return f"[{text(interval.low, quantity)}, {text(interval.high, quantity)}]"


def heading(quantity: Quantity, arrow: bool = True) -> str:
    """Column title with its unit and an arrow to what is better."""
    unit = f" [{quantity.unit}]" if quantity.unit else ""
    return f"{quantity.label}{unit}" + (f" {ARROWS[quantity.better]}" if arrow else "")


def penalty(value: float, quantity: Quantity, floor: Number | None) -> float:
    """How bad a number is: lower is better, whatever the quantity.

    `closer` counts the distance to the retrained models, whose number is the noise floor's.
    """
    if quantity.better == "higher":
        return -value
    if quantity.better == "lower":
        return value
    return abs(value - (floor.value if floor else math.nan))


def clear_winner(report: ComparisonReport, key: str) -> str | None:
    """The method that is best by more than chance: told apart from every other, on its side of
    what is best. Flagged rows, and runs that share one original model, take no part; the others
    must have equally many models."""
    quantity = report.quantities[key]
    floor = report.rows[0].numbers.get(key)
    target = floor.value if floor else math.nan
    ranked = sorted(
        (
            (penalty(row.numbers[key].value, quantity, floor), row.label, row)
            for row in report.of_kind("method")
            if key in row.numbers
            and not row.flags
            and row.starts == "each"
            and not math.isnan(penalty(row.numbers[key].value, quantity, floor))
        ),
        key=lambda entry: entry[:2],
    )
    if len(ranked) < 2:
        return None
    best, *rivals = (row for _, _, row in ranked)
    if any(row.numbers[key].n != best.numbers[key].n for row in rivals):
        return None
    if quantity.better == "closer" and any(
        (row.numbers[key].value - target) * (best.numbers[key].value - target) < 0 for row in rivals
    ):
        return None  # as far on the other side is another number, not a worse one
    apart = {
        frozenset((pair.first, pair.second))
        for pair in report.pairs
        if pair.metric == key and pair.p_holm < 1 - report.level
    }
    won = all(frozenset((best.label, row.label)) in apart for row in rivals)
    return best.label if won else None


@dataclass(frozen=True)
class Section:
    """Headline numbers that belong together.

    Attributes:
        title: what they are of, with the coverage of their intervals.
        name: the same in a word, for labels.
        keys: of the numbers.
    """

    title: str
    name: str
    keys: Sequence[str]


def level_text(report: ComparisonReport) -> str:
    """Coverage of the intervals, in words."""
    return f"{100 * report.level:g} % intervals"


def sections(report: ComparisonReport) -> list[Section]:
    """The headline tables: single models, populations, memory and shift; numbers that no row has
    are left out, and so are empty tables (the notes say what is missing)."""
    headline = [
        key
        for key, quantity in report.quantities.items()
        if quantity.headline and any(has_any(row, [key]) for row in report.rows)
    ]
    level = level_text(report)
    single = [key for key in headline if key not in report.populations]
    memory = [key for key in headline if key.startswith((MEMORY, SHIFT))]
    total = [key for key in headline if key in report.populations and key not in memory]
    count = report.rows[0].models
    found = (
        Section(f"Single models: means, {level}", "single", single),
        Section(
            f"Total: unlearned against retrained models, {count} of each, {level}", "total", total
        ),
        Section(
            "Memory: unlearned against control models, which never saw the forget set; "
            f"shift: control against retrained models; {level}",
            "memory",
            memory,
        ),
    )
    return [section for section in found if section.keys]


def has_any(row: Row, keys: Sequence[str]) -> bool:
    """Whether the row has one of the numbers."""
    return any(key in row.numbers and not math.isnan(row.numbers[key].value) for key in keys)


def models_text(row: Row, section: Section | None = None) -> str:
    """How many models a row has and how they started; in tables of populations, how many of each
    kind its numbers are from."""
    starts = {"each": "", "one": ", one original", "": ""}[row.starts]
    controls = f", {row.controls} control" if row.controls else ""
    return f"n={models_of(row, section)}{starts}{controls}"


def models_of(row: Row, section: Section | None = None) -> str:
    """Models behind the numbers of a row, in a table of populations of each kind; the fewest and
    the most where memory and shift have different numbers of them."""
    if section is None or section.name == "single":
        return str(len(row.runs))
    found = [row.numbers[key] for key in section.keys if key in row.numbers]
    counts = {number.n for number in found if not math.isnan(number.value)} or {row.models}
    return "–".join(str(count) for count in sorted({min(counts), max(counts)}))


def marks_text(number: Number) -> str:
    """What the number is not told apart from: retraining `≈R`, doing nothing `≈0`."""
    same = (("≈R", number.as_retrained), ("≈0", number.as_nothing))
    return " ".join(mark for mark, alike in same if alike)


def marks_used(report: ComparisonReport) -> bool:
    """Whether a table has a mark to explain."""
    return any(marks_text(number) for row in report.rows for number in row.numbers.values())


MARKS = (
    "≈R: not told apart from retraining (of memory: from having none); ≈0: not told apart from "
    "doing nothing; Holm corrects down each column. Neither says that they are equal."
)


def detectable(report: ComparisonReport, keys: Sequence[str]) -> str:
    """What differences so many models can show, in words; empty where nothing was tested."""
    floor = report.rows[0]
    parts = []
    for key in keys:
        sizes = [
            pair.detectable
            for pair in report.pairs
            if pair.metric == key and floor.label in (pair.first, pair.second)
        ]
        sizes = [size for size in sizes if math.isfinite(size)]
        if sizes:
            quantity = report.quantities[key]
            parts.append(f"{quantity.label} {text(statistics.median(sizes), quantity)}")
    if not parts:
        return ""
    return "Differences to the noise floor found with probability 0.8: " + ", ".join(parts) + "."


def protocols(report: ComparisonReport, keys: Sequence[str]) -> str:
    """Protocol, delta and number of models of population numbers, in words."""
    found: dict[str, str] = {}
    for key in keys:
        for row in report.rows:
            number = row.numbers.get(key)
            if number and number.protocol:
                found[key.split("/")[0]] = number.protocol
    return "; ".join(f"{name}: {words}" for name, words in found.items())
