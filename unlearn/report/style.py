"""What all pictures share: colours, markers, scales, legends."""

from __future__ import annotations

import math
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.evals.base import Quantity
from unlearn.report.numbers import DAGGER

# Okabe and Ito's colours, told apart by everyone; black is the noise floor, grey doing nothing.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#A5AA99")
MARKERS = "oD^vP*X<"
LEGEND = 40  # characters of a line of a legend
LINE = 0.18  # inches of a line of a legend


def figure_of(report: ComparisonReport, title: str) -> tuple[Figure, Axes]:
    # A legend of many rows must not leave the axes a strip.
    height = 4.2 + LINE * math.ceil(len(report.rows) / 2)
    figure = Figure(figsize=(6.4, max(5.0, height)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(f"{title}{synthetic_mark(report)}", fontsize=11)
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def synthetic_mark(report: ComparisonReport) -> str:
    return " (synthetic data)" if report.synthetic else ""


def styled(report: ComparisonReport) -> list[tuple[Row, str, str]]:
    styled, number = [], 0
    for row in report.rows:
        if row.kind == "method":
            # No pair of colour and marker comes twice among as many rows as there are pairs.
            marker = MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
            styled.append((row, COLOURS[number % len(COLOURS)], marker))
            number += 1
        else:
            styled.append((row, "black" if row.kind == "noise floor" else "0.5", "s"))
    return styled


def legend_text(row: Row, models: str = "") -> str:
    """Name of a row with its number of models, in short lines; a dagger where it is flagged.

    Args:
        row: of the comparison.
        models: of what is drawn, where that is not the row's number of models.
    """
    count = models or row.models or len(row.runs)
    words = f"{row.label}{DAGGER if row.flags else ''} (n={count})"
    return "\n".join(wrap(words, LEGEND, subsequent_indent="  "))


def legend_below(axes: Axes) -> None:
    """A legend under the axes, no wider than the figure."""
    labels = axes.get_legend_handles_labels()[1]
    flagged = any(DAGGER in label for label in labels)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=2 if len(labels) > 3 else 1,
        fontsize=8,
        frameon=False,
        title=f"{DAGGER} flagged: the tables say why" if flagged else None,
        title_fontsize=8,
    )


def has(row: Row, key: str) -> bool:
    return key in row.numbers and math.isfinite(row.numbers[key].value)


def scale(quantity: Quantity) -> float:
    return 100.0 if quantity.unit == "%" else 1.0


def scaled(number: Number, quantity: Quantity) -> tuple[float, float, float]:
    """Value and the ends of its interval in the unit shown; no interval = the value thrice."""
    interval, factor = number.interval, scale(quantity)
    ends = (interval.low, interval.high) if interval else (number.value, number.value)
    low, high = (e if math.isfinite(e) else number.value for e in ends)
    return factor * number.value, factor * min(low, number.value), factor * max(high, number.value)
