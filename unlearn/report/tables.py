"""The comparison as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.metrics.intervals import Interval
from unlearn.report.numbers import (
    MARKS,
    Section,
    detectable,
    has_any,
    heading,
    interval_text,
    marks_text,
    marks_used,
    models_text,
    protocols,
    sections,
    text,
)
from unlearn.report.published import HEADS, legend, lines, notes, title

PAIRS = (
    "First minus second with its interval over models; the test resamples models, with what both "
    "rows share taken out, and is two-sided. Holm corrects for all comparisons of this table."
)
COLUMNS = (
    "problem", "synthetic", "kind", "method", "original_seed", "seed", "metric", "unit", "better",
    "value", "std", "n", "low_models", "high_models", "low_examples", "high_examples", "gap",
    "gap_low", "gap_high", "n_retrained", "as_retrained", "as_nothing", "p_value", "without",
    "protocol", "note",
)  # fmt: skip


def csv_text(report: ComparisonReport) -> str:
    """One line a run and metric, then one a row and metric with uncertainty (seed empty)."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in report.rows:
        for key, quantity in report.quantities.items():
            shared = {
                "problem": report.name,
                "synthetic": report.synthetic,
                "kind": row.kind,
                "method": row.label,
                "metric": key,
                "unit": "share" if quantity.unit == "%" else quantity.unit,
                "better": quantity.better,
            }
            for run in row.runs:
                if key in run["metrics"]:
                    seeds = {"seed": run["seed"], "original_seed": run["original_seed"]}
                    writer.writerow({**shared, **seeds, "value": run["metrics"][key], "n": 1})
            if key in row.numbers:
                writer.writerow({**shared, **_summary(row.numbers[key])})
    return buffer.getvalue()


def _summary(number: Number) -> dict[str, object]:
    filled = {
        "value": number.value,
        "std": number.std,
        "n": number.n,
        **_ends(number.over_models, "low_models", "high_models"),
        **_ends(number.over_examples, "low_examples", "high_examples"),
        **_ends(number.gap, "gap_low", "gap_high"),
        "gap": number.gap.estimate if number.gap else math.nan,
        "n_retrained": number.n_retrained or math.nan,
        "as_retrained": "" if number.as_retrained is None else number.as_retrained,
        "as_nothing": "" if number.as_nothing is None else number.as_nothing,
        "p_value": number.p_value,
        "without": number.without,
        "protocol": number.protocol,
        "note": number.note or (number.over_models.note if number.over_models else ""),
    }
    return {k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in filled.items()}


def _ends(interval: Interval | None, low: str, high: str) -> dict[str, float]:
    return {low: interval.low, high: interval.high} if interval else {}


def markdown_text(report: ComparisonReport) -> str:
    """Headline tables, all numbers, paired comparisons, notes."""
    parts = [f"# {report.title}"]
    for section in sections(report):
        parts += [f"## {section.title}", headline_markdown(report, section)]
        parts += filter(None, [detectable(report, section.keys), protocols(report, section.keys)])
    parts += [MARKS] if marks_used(report) else []
    parts += _published(report)
    parts += ["## Notes", "\n".join(f"* {note}" for note in report.notes)]
    parts += ["## All numbers", _all_markdown(report)]
    if report.pairs:
        parts += ["## Methods against each other", _pairs_markdown(report)]
    return "\n\n".join(parts) + "\n"


def _published(report: ComparisonReport) -> list[str]:
    table = report.published
    if table is None:
        return []
    found = lines(table, report.quantities)
    below = "\n".join(f"* {note}" for note in notes(table))
    body = [_markdown(HEADS, found), legend(table)] if found else []
    return [f"## {title(table)}", *filter(None, [*body, below])]


def headline_markdown(report: ComparisonReport, section: Section) -> str:
    """One Markdown table: a row a method, value and interval in each cell."""
    heads = ["method", "n", *(heading(report.quantities[k]) for k in section.keys)]
    body = [
        [
            _name(row),
            models_text(row, section)[2:],
            *(_cell(report, row, key) for key in section.keys),
        ]
        for row in report.rows
        if has_any(row, section.keys)
    ]
    return _markdown(heads, body)


def _name(row: Row) -> str:
    return row.label + "".join(f" ({flag})" for flag in row.flags)


def _cell(report: ComparisonReport, row: Row, key: str) -> str:
    if key not in row.numbers:
        return "-"
    number, quantity = row.numbers[key], report.quantities[key]
    words = [text(number.value, quantity), interval_text(number, quantity), marks_text(number)]
    return " ".join(filter(None, words))


def _all_markdown(report: ComparisonReport) -> str:
    heads = ["metric", *(row.label for row in report.rows)]
    body = [
        [f"{heading(report.quantities[key])} `{key}`"]
        + [_cell(report, row, key) + _gap(report, row, key) for row in report.rows]
        for key in report.quantities
    ]
    return "In parentheses: the gap to the retrained models.\n\n" + _markdown(heads, body)


def _gap(report: ComparisonReport, row: Row, key: str) -> str:
    gap = row.numbers[key].gap if key in row.numbers else None
    if gap is None or row.kind == "noise floor" or math.isnan(gap.estimate):
        return ""
    words = text(gap.estimate, report.quantities[key])
    return f" ({'' if words.startswith('-') else '+'}{words})"


def _pairs_markdown(report: ComparisonReport) -> str:
    heads = ["metric", "first", "second", "first - second", "n", "p", "p (Holm)"]
    body = [
        [
            f"`{pair.metric}`",
            pair.first,
            pair.second,
            f"{text(pair.difference.estimate, quantity)} "
            f"[{text(pair.difference.low, quantity)}, {text(pair.difference.high, quantity)}]",
            f"{pair.n}",
            f"{pair.p_value:.2g}",
            f"{pair.p_holm:.2g}",
        ]
        for pair in report.pairs
        for quantity in [report.quantities[pair.metric]]
    ]
    return f"{PAIRS}\n\n" + _markdown(heads, body)


def _markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
