"""A comparison in a notebook: numbers to compute with, a table to look at, a folder to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from unlearn.comparison.result import ComparisonReport, Number, Pair, Row
from unlearn.metrics.intervals import Interval
from unlearn.problem import UnlearningProblem
from unlearn.report.numbers import (
    MARKS,
    Section,
    clear_winner,
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
from unlearn.report.terminal import print_comparison
from unlearn.report.write import write_report

STYLE = (
    "<style>.unlearn td, .unlearn th {text-align: right} "
    ".unlearn tr > :first-child {text-align: left} "
    ".unlearn small {display: block; opacity: .7; white-space: nowrap}</style>"
)


@dataclass(frozen=True, repr=False)
class Results:
    """What `evaluate_model`, `compare_models` and `compare_logits` return.

    In a notebook it shows itself as a table.

    Attributes:
        report: the whole comparison: rows, pairs, notes, provenance.
        problem: the examples it is about.
    """

    report: ComparisonReport
    problem: UnlearningProblem

    @property
    def rows(self) -> Mapping[str, Row]:
        """Rows by label: retrained models, the original, the unlearned models."""
        return {row.label: row for row in self.report.rows}

    @property
    def values(self) -> Mapping[str, Mapping[str, float]]:
        """Plain numbers by row and by `<evaluation>/<quantity>`; shares lie in [0, 1]."""
        return {
            label: {key: number.value for key, number in row.numbers.items()}
            for label, row in self.rows.items()
        }

    @property
    def numbers(self) -> Mapping[str, Mapping[str, Number]]:
        """The same with deviations, intervals, gaps to retraining and numbers of models."""
        return {label: row.numbers for label, row in self.rows.items()}

    @property
    def examples(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        """Numbers of every forget example `(examples,)` by row and name, in the order given."""
        return {
            label: {name: values.numpy() for name, values in row.examples.items()}
            for label, row in self.rows.items()
        }

    @property
    def pairs(self) -> Sequence[Pair]:
        """Rows against each other on the same seeds or examples, with corrected p-values."""
        return self.report.pairs

    @property
    def notes(self) -> Sequence[str]:
        """What a reader has to know."""
        return self.report.notes

    def table(self) -> Any:
        """One line a row and number, with its uncertainty.

        Returns:
            A pandas frame where pandas is installed, else a list of dictionaries. Columns: `row`,
            `kind`, `metric`, `label`, `unit`, `better`, `value`, `std`, `n` (models), `low` and
            `high` of the interval, `over` (models or examples), `gap` to the retrained models with
            `gap_low` and `gap_high`, `as_retrained` and `as_nothing` (not told apart from these;
            None = not tested), `note`.
        """
        lines = [
            _line(row, key, row.numbers[key], self.report)
            for row in self.report.rows
            for key in self.report.quantities
            if key in row.numbers
        ]
        try:
            from pandas import DataFrame
        except ImportError:
            return lines
        return DataFrame(lines)

    def show(self) -> None:
        """The headline tables: in a notebook as a table, elsewhere on the terminal."""
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            print_comparison(self.report)
            return
        if get_ipython() is None:
            print_comparison(self.report)
        else:
            display(self)

    def save(self, folder: str | Path, *, pictures: bool = True) -> Path:
        """Write the report: page, tables, numbers of every example, pictures.

        Args:
            folder: made anew, or an older report that is replaced.
            pictures: draw them too.

        Returns:
            The page to open.

        Raises:
            UserError: the folder holds something else, or cannot be written.
        """
        write_report(self.report, self.problem, Path(folder), pictures)
        return Path(folder) / "index.html"

    def __repr__(self) -> str:
        rows = ", ".join(f"{row.label} ({models_text(row)})" for row in self.report.rows)
        return f"Results of {self.report.title}: {rows}; {len(self.report.quantities)} numbers"

    def _repr_html_(self) -> str:
        tables = []
        for section in sections(self.report):
            marks = MARKS if marks_used(self.report) else ""
            words = (*(f(self.report, section.keys) for f in (detectable, protocols)), marks)
            small = escape(" ".join(filter(None, words)))
            tables.append(
                f"<p><b>{escape(section.title)}</b></p>{self._html(section)}"
                f"<p><small>{small}</small></p>"
            )
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.report.notes)
        return (
            f'{STYLE}<div class="unlearn"><p>{escape(self.report.title)}</p>{"".join(tables)}'
            f"{f'<ul>{notes}</ul>' if notes else ''}</div>"
        )

    @cached_property
    def _winners(self) -> Mapping[str, str | None]:
        return {key: clear_winner(self.report, key) for key in self.report.quantities}

    def _html(self, section: Section) -> str:
        keys, quantities = section.keys, self.report.quantities
        heads = "".join(f"<th>{escape(heading(quantities[key]))}</th>" for key in keys)
        lines = []
        for row in self.report.rows:
            if not has_any(row, keys):
                continue
            name = f"{escape(row.label)}<small>{escape(models_text(row, section))}</small>"
            name += "".join(f"<small>⚠ {escape(flag)}</small>" for flag in row.flags)
            cells = "".join(f"<td>{self._cell(row, key)}</td>" for key in keys)
            lines.append(f"<tr><th>{name}</th>{cells}</tr>")
        body = "".join(lines)
        return f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>"

    def _cell(self, row: Row, key: str) -> str:
        number, quantity = _number(row, key), self.report.quantities[key]
        value = escape(text(number.value, quantity))
        value = f"<b>{value}</b>" if self._winners[key] == row.label else value
        small = " ".join(filter(None, [interval_text(number, quantity), marks_text(number)]))
        return value + (f"<small>{escape(small)}</small>" if small else "")


def _number(row: Row, key: str) -> Number:
    return row.numbers.get(key, Number(math.nan))


def _line(row: Row, key: str, number: Number, report: ComparisonReport) -> dict[str, Any]:
    quantity = report.quantities[key]
    nothing = Interval(math.nan, math.nan, math.nan, math.nan, "", 0)
    interval, gap = number.interval or nothing, number.gap or nothing
    return {
        "row": row.label,
        "kind": row.kind,
        "metric": key,
        "label": heading(replace(quantity, unit=""), arrow=False),
        "unit": "share" if quantity.unit == "%" else quantity.unit,
        "better": quantity.better,
        "value": number.value,
        "std": number.std,
        "n": number.n,
        "low": interval.low,
        "high": interval.high,
        "over": interval.over,
        "gap": gap.estimate,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "as_retrained": number.as_retrained,
        "as_nothing": number.as_nothing,
        "note": number.note,
    }
