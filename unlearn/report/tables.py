"""The comparison as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.metrics.bootstrap import Interval
from unlearn.report.numbers import (
    clear_winner,
    heading,
    headline_keys,
    interval_text,
    models_text,
    protocols,
    text,
)

COLUMNS = (
    "problem", "synthetic", "kind", "method", "original_seed", "seed", "metric", "unit", "better",
    "value", "std", "n", "low_models", "high_models", "low_examples", "high_examples", "gap",
    "gap_low", "gap_high", "value_with_all", "n_with_all", "protocol", "note",
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
        "value_with_all": math.nan if number.with_all is None else number.with_all,
        "n_with_all": number.with_all_n or math.nan,
        "protocol": number.protocol,
        "note": number.note,
    }
    return {k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in filled.items()}


def _ends(interval: Interval | None, low: str, high: str) -> dict[str, float]:
    return {low: interval.low, high: interval.high} if interval else {}


def markdown_text(report: ComparisonReport) -> str:
    """Headline tables, all numbers, paired comparisons, notes."""
    parts = [f"# {report.title}"]
    for populations, title in ((False, "Single models"), (True, "Populations of models")):
        keys = headline_keys(report, populations)
        if keys:
            parts += [f"## {title}", headline_markdown(report, keys)]
            if populations:
                parts.append(protocols(report, keys))
    parts += ["## Notes", "\n".join(f"* {note}" for note in report.notes)]
    parts += ["## All numbers", _all_markdown(report)]
    if report.pairs:
        parts += ["## Methods against each other", _pairs_markdown(report)]
    return "\n\n".join(parts) + "\n"


def headline_markdown(report: ComparisonReport, keys: Sequence[str]) -> str:
    """One Markdown table: a row a method, value and interval in each cell."""
    heads = ["method", "n", *(heading(report.quantities[k]) for k in keys)]
    body = [
        [_name(row), models_text(row)[2:], *(_cell(report, row, key) for key in keys)]
        for row in report.rows
    ]
    return _markdown(heads, body)


def _name(row: Row) -> str:
    return row.label + "".join(f" ({flag})" for flag in row.flags)


def _cell(report: ComparisonReport, row: Row, key: str) -> str:
    if key not in row.numbers:
        return "-"
    number, quantity = row.numbers[key], report.quantities[key]
    return " ".join(filter(None, [text(number.value, quantity), interval_text(number, quantity)]))


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
    heads = ["metric", "first", "second", "first - second", "pairs", "p", "p (Holm)"]
    body = [
        [
            f"`{pair.metric}`",
            pair.first,
            pair.second,
            f"{text(pair.difference.estimate, quantity)} "
            f"[{text(pair.difference.low, quantity)}, {text(pair.difference.high, quantity)}]",
            f"{pair.pairs} {pair.difference.over}",
            f"{pair.p_value:.2g}",
            f"{pair.p_holm:.2g}",
        ]
        for pair in report.pairs
        for quantity in [report.quantities[pair.metric]]
    ]
    return (
        "Wilcoxon signed-rank test on the same seeds or forget examples, two-sided; Holm corrects "
        "for all comparisons of this table.\n\n" + _markdown(heads, body)
    )


def _markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def latex_text(report: ComparisonReport) -> str:
    """Booktabs tables of the headline numbers; bold where the best is clear of the runner-up."""
    tables = [
        _latex(report, keys, caption)
        for keys, caption in (
            (headline_keys(report, False), "single models"),
            (headline_keys(report, True), "populations of models"),
        )
        if keys
    ]
    return "% needs \\usepackage{booktabs}\n" + "\n".join(tables)


def _latex(report: ComparisonReport, keys: Sequence[str], caption: str) -> str:
    winners = {key: clear_winner(report, key) for key in keys}

    def cell(row: Row, key: str) -> str:
        if key not in row.numbers or math.isnan(row.numbers[key].value):
            return "--"
        number, quantity = row.numbers[key], report.quantities[key]
        value = _escaped(text(number.value, quantity))
        if winners[key] == row.label:
            value = rf"\textbf{{{value}}}"
        interval = _escaped(interval_text(number, quantity))
        return f"{value} {{\\scriptsize {interval}}}" if interval else value

    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_escaped(report.title)}; {caption}, mean and 95\,\% interval over models.}}",
        r"\begin{tabular}{l" + "r" * len(keys) + "}",
        r"\toprule",
        " & ".join(["method", *(_escaped(heading(report.quantities[k])) for k in keys)]) + r" \\",
        r"\midrule",
    ]
    kinds = [row.kind for row in report.rows]
    for i, row in enumerate(report.rows):
        if i and row.kind == "method" and kinds[i - 1] != "method":
            lines.append(r"\midrule")
        lines.append(" & ".join([_escaped(_name(row)), *(cell(row, k) for k in keys)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _escaped(words: str) -> str:
    special = {
        "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "∞": r"$\infty$", "ε̂": r"$\hat\varepsilon$",
        "ε": r"$\varepsilon$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→R": r"$\to$R",
    }  # fmt: skip
    for plain, latex in special.items():
        words = words.replace(plain, latex)
    return words
