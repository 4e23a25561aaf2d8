"""The comparison as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.evals.base import Quantity
from unlearn.metrics.intervals import Interval
from unlearn.report.numbers import (
    MARKS,
    clear_winner,
    detectable,
    heading,
    interval_text,
    marks_text,
    models_text,
    protocols,
    sections,
    text,
)

LATEX_COLUMNS = 3  # numbers beside each other, each with its interval, that a page has room for
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
        parts += [f"## {section.title}", headline_markdown(report, section.keys)]
        parts += filter(None, [detectable(report, section.keys), protocols(report, section.keys)])
    parts.append(MARKS)
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


def latex_text(report: ComparisonReport) -> str:
    """Booktabs tables of the headline numbers, each at most as wide as a page; bold where the best
    is told apart from the runner-up."""
    tables = []
    for section in sections(report):
        keys = list(section.keys)
        pieces = [keys[i : i + LATEX_COLUMNS] for i in range(0, len(keys), LATEX_COLUMNS)]
        for number, piece in enumerate(pieces, start=1):
            label = f"tab:{report.name}:{section.name}" + (f":{number}" if len(pieces) > 1 else "")
            tables.append(_latex(report, piece, section.title, label))
    return "% needs \\usepackage{booktabs,siunitx}\n" + "\n".join(tables)


def _latex(report: ComparisonReport, keys: Sequence[str], title: str, label: str) -> str:
    winners = {key: clear_winner(report, key) for key in keys}
    decimals = {key: _decimals(report, key) for key in keys}

    def cell(row: Row, key: str) -> str:
        number, quantity = row.numbers.get(key, Number(math.nan)), report.quantities[key]
        if not math.isfinite(number.value):
            return f"{{{_escaped(text(number.value, quantity)).replace('-', '--', 1)}}}"
        value = f"{_shown(number.value, quantity):.{decimals[key]}f}"
        return rf"\bfseries {value}" if winners[key] == row.label else value

    def ends(row: Row, key: str) -> str:
        number = row.numbers.get(key, Number(math.nan))
        words = interval_text(number, report.quantities[key])
        marks = marks_text(number).replace("≈R", r"$\approx$R").replace("≈0", r"$\approx$0")
        return rf"{{\scriptsize {_escaped(words)} {marks}}}".replace(" }", "}")

    columns = "".join(f" S[table-format=-3.{decimals[key]}]@{{\\,}}l" for key in keys)
    heads = [rf"\multicolumn{{2}}{{c}}{{{_escaped(heading(report.quantities[k]))}}}" for k in keys]
    lines = [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{_escaped(report.title)}. {_escaped(title)}. {_escaped(MARKS)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{p{{3.2cm}}r{columns}}}",
        r"\toprule",
        " & ".join(["method", "$n$", *heads]) + r" \\",
        r"\midrule",
    ]
    kinds = [row.kind for row in report.rows]
    for i, row in enumerate(report.rows):
        if i and row.kind == "method" and kinds[i - 1] != "method":
            lines.append(r"\midrule")
        cells = [f"{cell(row, key)} & {ends(row, key)}" for key in keys]
        lines.append(" & ".join([_escaped(_name(row)), str(len(row.runs)), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _shown(value: float, quantity: Quantity) -> float:
    return 100 * value if quantity.unit == "%" else value


def _decimals(report: ComparisonReport, key: str) -> int:
    """One number of decimals a column, so that its numbers align."""
    quantity = report.quantities[key]
    sizes = [
        abs(_shown(row.numbers[key].value, quantity))
        for row in report.rows
        if key in row.numbers and math.isfinite(row.numbers[key].value)
    ]
    return 1 if quantity.unit == "%" or max(sizes, default=0) >= 100 else 3


def _escaped(words: str) -> str:
    special = {
        "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "∞": r"$\infty$", "ε̂": r"$\hat\varepsilon$",
        "ε": r"$\varepsilon$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→R": r"$\to$R",
        "≈": r"$\approx$",
    }  # fmt: skip
    for plain, latex in special.items():
        words = words.replace(plain, latex)
    return words
