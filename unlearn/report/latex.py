"""The comparison as LaTeX: booktabs tables that fit a page."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.evals.base import Quantity
from unlearn.report.fitting import fitting
from unlearn.report.numbers import (
    MARKS,
    Section,
    clear_winner,
    has_any,
    heading,
    interval_text,
    marks_text,
    marks_used,
    models_of,
    sections,
    text,
)

# Points. An A4 page with margins of 2.5 cm has room for 455; characters are those of Computer
# Modern at \small and at \scriptsize, rounded up.
ROOM = 450.0
NAME, MODELS, GAP = 96.0, 22.0, 8.0
SMALL, TINY, SYMBOL = 4.8, 4.1, 7.0

ESCAPES = {
    "\\": r"\textbackslash{}", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "$": r"\$",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"$<$", ">": r"$>$", "∞": r"$\infty$", "ε̂": r"$\hat\varepsilon$", "ε": r"$\varepsilon$",
    "δ": r"$\delta$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$",
    "≈": r"$\approx$", "−": r"$-$",
}  # fmt: skip
SPECIAL = re.compile("|".join(map(re.escape, ESCAPES)))  # of two that begin alike, the longer first


def latex_text(report: ComparisonReport) -> str:
    """Booktabs tables of the headline numbers, each at most as wide as a page; bold where the best
    is told apart from the runner-up."""
    tables = []
    for section in sections(report):
        rows = [row for row in report.rows if has_any(row, section.keys)]
        widths = {key: column_width(report, rows, key) for key in section.keys}
        pieces = fitting(widths, ROOM - NAME - MODELS)
        for number, keys in enumerate(pieces, start=1):
            label = f"tab:{report.name}:{section.name}" + (f":{number}" if len(pieces) > 1 else "")
            tables.append(_table(report, rows, section, keys, label))
    return "% needs \\usepackage{booktabs,siunitx}\n" + "\n".join(tables)


def column_width(report: ComparisonReport, rows: Sequence[Row], key: str) -> float:
    """Points that a number takes with its interval and marks, at most."""
    quantity = report.quantities[key]
    numbers = [row.numbers[key] for row in rows if key in row.numbers]
    ends = [f"{interval_text(n, quantity)} {marks_text(n)}".strip() for n in numbers]
    beside = max((TINY * len(e) + (SYMBOL - TINY) * e.count("≈") for e in ends), default=0.0)
    whole, decimals = _format(report, rows, key)
    head = SMALL * len(heading(quantity)) + SYMBOL - SMALL
    return GAP + max(SMALL * (len(whole) + 1 + decimals) + beside, head)


def _table(
    report: ComparisonReport, rows: Sequence[Row], section: Section, keys: Sequence[str], label: str
) -> str:
    winners = {key: clear_winner(report, key) for key in keys}
    formats = {key: _format(report, rows, key) for key in keys}

    def cell(row: Row, key: str) -> str:
        number, quantity = row.numbers.get(key, Number(math.nan)), report.quantities[key]
        if not math.isfinite(number.value):
            return f"{{{escaped(text(number.value, quantity)).replace('-', '--', 1)}}}"
        value = f"{_shown(number.value, quantity):.{formats[key][1]}f}"
        return rf"\bfseries {value}" if winners[key] == row.label else value

    def ends(row: Row, key: str) -> str:
        number = row.numbers.get(key, Number(math.nan))
        interval = interval_text(number, report.quantities[key])
        words = " ".join(filter(None, [interval, marks_text(number)]))
        return rf"{{\scriptsize {escaped(words)}}}" if words else ""

    columns = "".join(
        f" S[table-format={whole}.{decimals}]@{{\\,}}l" for whole, decimals in formats.values()
    )
    heads = [rf"\multicolumn{{2}}{{c}}{{{escaped(heading(report.quantities[k]))}}}" for k in keys]
    caption = f"{report.title}. {section.title}." + (f" {MARKS}" if marks_used(report) else "")
    lines = [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{3pt}\sisetup{detect-weight=true,mode=text}",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{{label}}}\smallskip",
        rf"\begin{{tabular}}{{>{{\raggedright\arraybackslash}}p{{3.2cm}}r{columns}}}",
        r"\toprule",
        " & ".join(["method", "$n$", *heads]) + r" \\",
        r"\midrule",
    ]
    for before, row in zip([None, *rows], rows, strict=False):
        if row.kind == "method" and before is not None and before.kind != "method":
            lines.append(r"\midrule")
        name = broken(escaped(row.label)) + (r"$^\dagger$" if row.flags else "")
        cells = [f"{cell(row, key)} & {ends(row, key)}" for key in keys]
        lines.append(
            " & ".join([name, models_of(row, section).replace("–", "--"), *cells]) + r" \\"
        )
    lines += [r"\bottomrule", r"\end{tabular}"]
    flagged = [f"{row.label}: {', '.join(row.flags)}" for row in rows if row.flags]
    if flagged:
        words = broken(escaped("; ".join(flagged)))
        lines.append(rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize $^\dagger$ {words}.}}")
    return "\n".join([*lines, r"\end{table}", ""])


def _shown(value: float, quantity: Quantity) -> float:
    return 100 * value if quantity.unit == "%" else value


def _format(report: ComparisonReport, rows: Sequence[Row], key: str) -> tuple[str, int]:
    """Places before the point, as siunitx wants them (`-2` with a sign), and decimals: one number
    of these a column, so that its numbers align."""
    quantity = report.quantities[key]
    values = [
        _shown(row.numbers[key].value, quantity)
        for row in rows
        if key in row.numbers and math.isfinite(row.numbers[key].value)
    ]
    decimals = 1 if quantity.unit == "%" or max(map(abs, values), default=0) >= 100 else 3
    written = [f"{value:.{decimals}f}" for value in values]
    places = max((len(w.lstrip("-").split(".")[0]) for w in written), default=1)
    return ("-" if any(w.startswith("-") for w in written) else "") + str(places), decimals


def escaped(words: str) -> str:
    """Plain words as LaTeX."""
    return SPECIAL.sub(lambda found: ESCAPES[found.group()], words)


def broken(words: str) -> str:
    """LaTeX that may be broken after underscores, where hyphenation knows no place."""
    return words.replace(r"\_", r"\_\allowbreak ")
