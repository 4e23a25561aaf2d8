"""Tables on the terminal: at the end of a run, and of a comparison."""

import statistics
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unlearn.comparison.result import COMMAND, ComparisonReport, Row
from unlearn.evals.base import Quantity
from unlearn.problem import UnlearningProblem
from unlearn.report.numbers import (
    MARKS,
    detectable,
    heading,
    interval_text,
    marks_text,
    models_text,
    protocols,
    sections,
    text,
)
from unlearn.storage.records import RunRecord


def print_run_table(
    problem: UnlearningProblem,
    quantities: Mapping[str, Quantity],
    references: dict[str, list[dict[str, float]]],
    runs: list[RunRecord],
) -> None:
    """Original, retrained and unlearned models side by side; several runs as mean and deviation."""
    sizes = {name: len(split) for name, split in problem.splits.items()}
    title = f"{problem.name}: forget {sizes['forget']} of {sizes['forget'] + sizes['retain']}"
    table = Table(title=title + (" (synthetic data)" if problem.synthetic else ""))
    table.add_column("model", no_wrap=True)
    for quantity in quantities.values():
        unit = f" [{quantity.unit}]".replace("[", r"\[") if quantity.unit else ""
        table.add_column(f"{quantity.label}{unit}", justify="right")
    name = runs[-1].document["method"]["name"]
    rows = {
        "original": references["original"],
        "retrained": references["retrained"],
        name: [run.document["metrics"] for run in runs],
    }
    for label, metrics in rows.items():
        seeds = f" (n={len(metrics)})" if len(metrics) > 1 else ""
        cells = [
            cell([m[key] for m in metrics if m.get(key) is not None], quantity)
            for key, quantity in quantities.items()
        ]
        table.add_row(label + seeds, *cells)
    Console().print(table)


def cell(values: list[float], quantity: Quantity) -> str:
    """A number, or mean and standard deviation of several."""
    values = [v for v in values if v == v]
    if not values:
        return "-"
    scale, digits = (100, 2) if quantity.unit == "%" else (1, 3)
    text = f"{statistics.fmean(values) * scale:.{digits}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values) * scale:.{digits}f}"
    return text


WIDTH = 100  # columns of a comparison where nobody looks (a pipe, a log file)


def print_comparison(report: ComparisonReport) -> None:
    """Headline numbers with their intervals, of single models and of populations, and the notes."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(f"\n[bold]{escape(report.title)}[/bold]", highlight=False)
    for section in sections(report):
        rows = [row for row in report.rows if _has_any(row, section.keys)]
        if not rows:
            continue
        console.print(f"\n[bold]{escape(section.title)}[/bold]", highlight=False)
        width = max(2, (console.width - 16) // 12)
        for start in range(0, len(section.keys), width):
            console.print(_comparison_table(report, rows, section.keys[start : start + width]))
        for words in (detectable(report, section.keys), protocols(report, section.keys)):
            if words:
                console.print(escape(words), style="dim", highlight=False)
    console.print(escape(MARKS), style="dim", highlight=False)
    for note in report.notes:
        # A command must stay one line to be copied.
        text_part, _, command = note.partition(COMMAND)
        ending = COMMAND.strip() if command else ""
        console.print(f"• {escape(text_part)} {ending}", highlight=False)
        if command:
            console.print(f"    {escape(command)}", highlight=False, soft_wrap=True)


def _has_any(row: Row, keys: Sequence[str]) -> bool:
    """Whether the row has one of the numbers."""
    return any(key in row.numbers and row.numbers[key].value == row.numbers[key].value
               for key in keys)  # fmt: skip


def _comparison_table(report: ComparisonReport, rows: Sequence[Row], keys: Sequence[str]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
    )
    table.add_column("", min_width=14, max_width=15)
    for key in keys:
        table.add_column(escape(heading(report.quantities[key])), justify="right", width=12)
    for row in rows:
        table.add_row(_label(row), *(_stacked(report, row, key) for key in keys))
    return table


def _label(row: Row) -> str:
    lines = [f"[bold]{escape(row.label)}[/bold]", f"[dim]{models_text(row)}[/dim]"]
    return "\n".join([*lines, *(f"[red]{flag}[/red]" for flag in row.flags)])


def _stacked(report: ComparisonReport, row: Row, key: str) -> str:
    number, quantity = row.numbers.get(key), report.quantities[key]
    if number is None:
        return "-"
    interval = interval_text(number, quantity).strip("[]").replace(", ", "–")
    marks = marks_text(number)
    return (
        text(number.value, quantity)
        + (f"\n[dim]{interval}[/dim]" if interval else "")
        + (f"\n{marks}" if marks else "")
    )
