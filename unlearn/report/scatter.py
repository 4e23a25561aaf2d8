"""Pictures with a point a method: forgetting and utility, memory and shift."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.comparison.result import ComparisonReport, Number
from unlearn.evals.base import Quantity
from unlearn.report.numbers import Section, heading, level_text, models_of
from unlearn.report.style import figure_of, has, legend_below, legend_text, scaled, styled

FORGETTING = ("forgetting_quality/score", "epsilon_hat/median", "u_lira/accuracy", "klom/mean")
REMEMBERED = ("u_lira/accuracy", "epsilon_hat/median")


def forgetting_and_utility(report: ComparisonReport) -> Figure | None:
    """Forgetting against test accuracy with intervals; the retrained models' region shaded."""
    across = "accuracy/test"
    up = next((k for k in FORGETTING if any(has(row, k) for row in report.rows)), None)
    if up is None or across not in report.quantities:
        return None
    x_is, y_is = report.quantities[across], report.quantities[up]
    x_name = "test accuracy" if report.task == "classification" else "test error"
    figure, axes = figure_of(report, f"{y_is.label} against {x_name}, {level_text(report)}")
    floor = report.rows[0]
    if has(floor, up) and has(floor, across):
        _region(axes, floor.numbers[across], floor.numbers[up], x_is, y_is)
    for row, colour, marker in styled(report):
        if not has(row, up) or not has(row, across):
            continue
        x, y = scaled(row.numbers[across], x_is), scaled(row.numbers[up], y_is)
        axes.errorbar(
            x[0],
            y[0],
            xerr=[[x[0] - x[1]], [x[2] - x[0]]],
            yerr=[[y[0] - y[1]], [y[2] - y[0]]],
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=7,
            label=legend_text(row),
        )
    axes.set_xlabel(heading(replace(x_is, label=x_name)))
    axes.set_ylabel(heading(y_is))
    axes.margins(0.12)
    legend_below(axes)
    return figure


def memory_and_shift(report: ComparisonReport) -> Figure | None:
    """Memory against shift of every row with control runs, with intervals."""
    for key in REMEMBERED:
        up, across = MEMORY + key, SHIFT + key
        rows = [
            (row, colour, marker)
            for row, colour, marker in styled(report)
            if has(row, up) and has(row, across)
        ]
        if any(row.kind == "method" for row, _, _ in rows):
            break
    else:
        return None
    quantity = report.quantities[key]
    figure, axes = figure_of(report, f"memory and shift, {quantity.label}, {level_text(report)}")
    floor = report.rows[0]
    if has(floor, up) and has(floor, across):
        x, y = scaled(floor.numbers[across], quantity), scaled(floor.numbers[up], quantity)
        axes.axvspan(x[1], x[2], color="0.9", zorder=0, label="interval of the noise floor")
        axes.axhspan(y[1], y[2], color="0.9", zorder=0)
    for row, colour, marker in rows:
        x, y = scaled(row.numbers[across], quantity), scaled(row.numbers[up], quantity)
        axes.errorbar(
            x[0],
            y[0],
            xerr=[[x[0] - x[1]], [x[2] - x[0]]],
            yerr=[[y[0] - y[1]], [y[2] - y[0]]],
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=7,
            label=legend_text(row, models_of(row, Section("", "memory", [up, across]))),
        )
    shown = [row.label for row, _, _ in rows]
    for row in report.rows:
        if row.kind == "method" and row.label not in shown:
            axes.plot([], [], " ", label=f"{row.label}: {row.controls or 'no'} control runs")
    axes.set_xlabel(f"shift: {heading(quantity, arrow=False)}, control against retrained models")
    axes.set_ylabel(f"memory: {heading(quantity, arrow=False)},\nunlearned against control models")
    axes.margins(0.12)
    legend_below(axes)
    return figure


def _region(axes: Axes, x: Number, y: Number, x_is: Quantity, y_is: Quantity) -> None:
    left, right = scaled(x, x_is)[1:]
    low, high = scaled(y, y_is)[1:]
    width = max(right - left, 1e-9)
    axes.add_patch(
        Rectangle(
            (left, low), width, high - low, color="0.85", zorder=0, label="region of retraining"
        )
    )
    axes.autoscale_view()
