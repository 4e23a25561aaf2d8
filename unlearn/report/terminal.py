"""Tables on the terminal: at the end of a run, and of a comparison."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from unlearn.comparison.result import COMMAND, ComparisonReport, PublishedTable, Row
from unlearn.evals.base import Quantity
from unlearn.problem import UnlearningProblem
from unlearn.report.fitting import fitting
from unlearn.report.numbers import (
    DAGGER,
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
from unlearn.storage.records import RunRecord


def print_run_table(
    problem: UnlearningProblem,
    quantities: Mapping[str, Quantity],
    references: dict[str, list[dict[str, float]]],
    runs: list[RunRecord],
    warnings: Sequence[str] = (),
) -> None:
    """Original, retrained and unlearned models side by side; several runs as mean and deviation.

    Args:
        problem: what was to be forgotten.
        quantities: the numbers shown, by key.
        references: numbers of original and of retrained models.
        runs: of one method.
        warnings: about the retrained models.
    """
    sizes = {name: len(split) for name, split in problem.splits.items()}
    title = f"{problem.name}: forget {sizes['forget']} of {sizes['forget'] + sizes['retain']}"
    document = runs[-1].document
    name = document["method"]["name"] + (" control" if document["control"] else "")
    rows = {
        "original": references["original"],
        "retrained": references["retrained"],
        name: [run.document["metrics"] for run in runs],
    }
    labels = [
        label + (f" (n={len(metrics)})" if len(metrics) > 1 else "")
        for label, metrics in rows.items()
    ]
    columns = {
        heading(quantity, arrow=False): [
            cell([m[key] for m in metrics if m.get(key) is not None], quantity)
            for metrics in rows.values()
        ]
        for key, quantity in quantities.items()
    }
    console = Console()
    marked = title + (" (synthetic data)" if problem.synthetic else "")
    console.print(f"[italic]{escape(marked)}[/italic]", highlight=False)
    for table in tables_that_fit([escape(label) for label in labels], columns, console.width):
        console.print(table)
    for warning in warnings:
        console.print(f"[red]{DAGGER} retrained: {escape(warning)}[/red]", highlight=False)


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
GAP = 2  # blank columns between two columns: one of padding, one of the box


def print_comparison(report: ComparisonReport) -> None:
    """Headline numbers with their intervals, of single models and of populations, and the notes."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(f"\n[bold]{escape(report.title)}[/bold]", highlight=False)
    for section in sections(report):
        rows = [row for row in report.rows if has_any(row, section.keys)]
        console.print(f"\n[bold]{escape(section.title)}[/bold]", highlight=False)
        columns = {
            heading(report.quantities[key]): [_stacked(report, row, key) for row in rows]
            for key in section.keys
        }
        for table in tables_that_fit(
            [_label(row, section) for row in rows], columns, console.width
        ):
            console.print(table)
        for words in (detectable(report, section.keys), protocols(report, section.keys)):
            if words:
                console.print(escape(words), style="dim", highlight=False)
    if marks_used(report):
        console.print(escape(MARKS), style="dim", highlight=False)
    if report.published is not None:
        print_published(report.published, report.quantities)
    for row in report.rows:
        if row.flags:
            words = f"{DAGGER} {row.label}: {'; '.join(row.flags)}"
            console.print(f"[red]{escape(words)}[/red]", highlight=False)
    for note in report.notes:
        # A command must stay one line to be copied.
        text_part, _, command = note.partition(COMMAND)
        ending = COMMAND.strip() if command else ""
        console.print(f"• {escape(text_part)} {ending}", highlight=False)
        if command:
            console.print(f"    {escape(command)}", highlight=False, soft_wrap=True)


def print_published(table: PublishedTable, quantities: Mapping[str, Quantity]) -> None:
    """What a study published beside what was measured, and what is not shown."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    found = lines(table, quantities)
    if found:
        console.print(f"\n[bold]{escape(title(table))}[/bold]", highlight=False)
        shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for head in HEADS:
            shown.add_column(head, overflow="fold")
        for line in found:
            shown.add_row(*map(escape, line))
        console.print(shown)
        console.print(escape(legend(table)), style="dim", highlight=False)
    for note in notes(table):
        console.print(f"• {escape(note)}", highlight=False)


def tables_that_fit(
    labels: Sequence[str], columns: Mapping[str, Sequence[str]], width: int
) -> Iterator[Table]:
    """One table, or several below each other where the columns do not fit beside each other.

    No cell is ever cut: a column is as wide as its widest line and the longest word of its heading,
    and only labels and headings are broken, between words.

    Args:
        labels: of the rows, with console markup.
        columns: cells by heading; cells may have several lines and console markup.
        width: columns of the terminal.
    """
    lines = [line for label in labels for line in Text.from_markup(label).plain.split("\n")]
    longest_word = max((len(word) for line in lines for word in line.split()), default=0)
    beside = min(max(map(len, lines), default=0), max(LABEL, longest_word, width // 5))
    widths = {head: GAP + _width(head, cells) for head, cells in columns.items()}
    for piece in fitting(widths, width - beside):
        yield _table(labels, {head: columns[head] for head in piece}, beside)


LABEL = 16  # characters of a row's label that are not broken


def _width(head: str, cells: Sequence[str]) -> int:
    """Characters that a column needs; headings are broken between words into two lines or so."""
    lines = [line for cell in cells for line in Text.from_markup(cell).plain.split("\n")]
    widest = max((cell_len(line) for line in lines), default=0)
    words = max(map(cell_len, head.split()))
    return max(widest, words, -(-cell_len(head) // 3))


def _table(labels: Sequence[str], columns: Mapping[str, Sequence[str]], beside: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    table.add_column("", width=beside, overflow="fold")
    for head, cells in columns.items():
        table.add_column(escape(head), justify="right", width=_width(head, cells), overflow="fold")
    for i, label in enumerate(labels):
        table.add_row(label, *(cells[i] for cells in columns.values()))
    return table


def _label(row: Row, section: Section) -> str:
    name = escape(row.label) + (f" [red]{DAGGER}[/red]" if row.flags else "")
    return f"[bold]{name}[/bold]\n[dim]{models_text(row, section)}[/dim]"


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
