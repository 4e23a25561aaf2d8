"""Pictures of a comparison, drawn without a display."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.comparison.result import ComparisonReport, Number, Row
from unlearn.evals.base import Quantity
from unlearn.problem import UnlearningProblem
from unlearn.report.numbers import heading, text

# Okabe and Ito's colours, told apart by everyone; black is the noise floor, grey doing nothing.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#A5AA99")
MARKERS = "oD^vP*X<"
FORGETTING = ("forgetting_quality/score", "epsilon_hat/median", "u_lira/accuracy", "klom/mean")
REMEMBERED = ("u_lira/accuracy", "epsilon_hat/median")
EPSILONS = {"epsilon_hat": "ε̂", "epsilon": "ε"}
GRID_ROWS, GRID_COLUMNS = 8, 8


def draw(report: ComparisonReport, problem: UnlearningProblem, folder: Path) -> dict[str, Path]:
    """Draw what the numbers allow, as PNG and SVG.

    Returns:
        PNG files by name, in reading order.
    """
    pictures: dict[str, Callable[[], Figure | None]] = {
        "forgetting_and_utility": lambda: forgetting_and_utility(report),
        "memory_and_shift": lambda: memory_and_shift(report),
        "epsilons": lambda: epsilons(report),
        "error_trade_off": lambda: error_trade_off(report),
        "worst_forgotten": lambda: worst_forgotten(report, problem),
    }
    drawn = {}
    for name, picture in pictures.items():
        figure = picture()
        if figure is None:
            continue
        figure.savefig(folder / f"{name}.png", dpi=144)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        drawn[name] = folder / f"{name}.png"
    return drawn


def forgetting_and_utility(report: ComparisonReport) -> Figure | None:
    """Forgetting against test accuracy with intervals; the retrained models' region shaded."""
    across = "accuracy/test"
    up = next((k for k in FORGETTING if any(_has(row, k) for row in report.rows)), None)
    if up is None or across not in report.quantities:
        return None
    x_is, y_is = report.quantities[across], report.quantities[up]
    x_name = "test accuracy" if report.task == "classification" else "test error"
    figure, axes = _figure(report, f"{y_is.label} against {x_name}")
    floor = report.rows[0]
    if _has(floor, up) and _has(floor, across):
        _region(axes, floor.numbers[across], floor.numbers[up], x_is, y_is)
    for row, colour, marker in _styled(report):
        if not _has(row, up) or not _has(row, across):
            continue
        x, y = _scaled(row.numbers[across], x_is), _scaled(row.numbers[up], y_is)
        axes.errorbar(
            x[0],
            y[0],
            xerr=[[x[0] - x[1]], [x[2] - x[0]]],
            yerr=[[y[0] - y[1]], [y[2] - y[0]]],
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=7,
            label=_legend(row),
        )
    axes.set_xlabel(heading(replace(x_is, label=x_name)))
    axes.set_ylabel(heading(y_is))
    axes.margins(0.12)
    _legend_below(axes)
    return figure


def memory_and_shift(report: ComparisonReport) -> Figure | None:
    """Memory against shift of every row with control runs, with intervals."""
    for key in REMEMBERED:
        up, across = MEMORY + key, SHIFT + key
        rows = [
            (row, colour, marker)
            for row, colour, marker in _styled(report)
            if _has(row, up) and _has(row, across)
        ]
        if any(row.kind == "method" for row, _, _ in rows):
            break
    else:
        return None
    quantity = report.quantities[key]
    figure, axes = _figure(report, f"memory and shift, {quantity.label}")
    floor = report.rows[0]
    if _has(floor, up) and _has(floor, across):
        x, y = _scaled(floor.numbers[across], quantity), _scaled(floor.numbers[up], quantity)
        axes.axvspan(x[1], x[2], color="0.9", zorder=0, label="interval of the noise floor")
        axes.axhspan(y[1], y[2], color="0.9", zorder=0)
    for row, colour, marker in rows:
        x, y = _scaled(row.numbers[across], quantity), _scaled(row.numbers[up], quantity)
        axes.errorbar(
            x[0],
            y[0],
            xerr=[[x[0] - x[1]], [x[2] - x[0]]],
            yerr=[[y[0] - y[1]], [y[2] - y[0]]],
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=7,
            label=_legend(row),
        )
    axes.set_xlabel(f"shift: {heading(quantity, arrow=False)}, control against retrained models")
    axes.set_ylabel(f"memory: {heading(quantity, arrow=False)}, unlearned against control models")
    axes.margins(0.12)
    _legend_below(axes)
    return figure


def _region(axes: Axes, x: Number, y: Number, x_is: Quantity, y_is: Quantity) -> None:
    left, right = _scaled(x, x_is)[1:]
    low, high = _scaled(y, y_is)[1:]
    width = max(right - left, 1e-9)
    axes.add_patch(
        Rectangle(
            (left, low), width, high - low, color="0.85", zorder=0, label="region of retraining"
        )
    )
    axes.autoscale_view()


def epsilons(report: ComparisonReport) -> Figure | None:
    """Share of forget examples up to each epsilon, by method, against the noise floor."""
    part = next((p for p in EPSILONS if any(p in row.examples for row in report.rows)), None)
    if part is None:
        return None
    symbol = EPSILONS[part]
    rows = [(r, c, m) for r, c, m in _styled(report) if part in r.examples]
    finite = torch.cat([r.examples[part][r.examples[part].isfinite()] for r, _, _ in rows])
    top = float(finite.max()) if finite.numel() else 1.0
    figure, axes = _figure(report, f"{symbol} of the forget examples")
    for row, colour, _ in rows:
        values = row.examples[part]
        values = values[~values.isnan()].sort().values
        share = torch.arange(1, len(values) + 1) / len(values)
        seen = values.isfinite()
        end = float(share[seen][-1]) if seen.any() else 0.0
        infinite = int((~seen).sum())
        label = _legend(row) + (f", {infinite} of {len(values)} infinite" if infinite else "")
        axes.step(
            [*values[seen].tolist(), top],
            [*share[seen].tolist(), end],
            where="post",
            color=colour,
            linewidth=3 if row.kind == "noise floor" else 1.8,
            label=label,
        )
    axes.set_xlabel(f"{symbol} [nats], lower: harder to tell from retrained models")
    axes.set_ylabel(f"share of forget examples with at most this {symbol}")
    axes.set_ylim(-0.02, 1.02)
    _legend_below(axes)
    return figure


def error_trade_off(report: ComparisonReport) -> Figure | None:
    """False negatives against false positives of the U-LiRA test, by method."""
    rows = [(r, c) for r, c, _ in _styled(report) if "u_lira" in r.scores]
    if not rows:
        return None
    figure, axes = _figure(report, "error trade-off of the membership test (U-LiRA)")
    axes.plot([0, 1], [1, 0], color="0.6", linestyle=":", label="chance: perfect unlearning")
    for row, colour in rows:
        scores = row.scores["u_lira"]
        fpr, fnr = error_rates(scores["unlearned"], scores["retrained"])
        width = 3 if row.kind == "noise floor" else 1.8
        axes.plot(fpr, fnr, color=colour, linewidth=width, label=_legend(row))
    axes.set_xlabel("false positives: retrained models called unlearned")
    axes.set_ylabel("false negatives: unlearned models called retrained")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    _legend_below(axes)
    return figure


def error_rates(positive: Tensor, negative: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Error rates of "score >= t" for every t, thinned to a few hundred points.

    Args:
        positive: scores `(P,)` of what should be called positive.
        negative: scores `(Q,)` of the others.

    Returns:
        False positive and false negative rates, from nothing called positive to everything.
    """
    thresholds = torch.cat([positive, negative]).unique()
    if len(thresholds) > 400:
        thresholds = thresholds[torch.linspace(0, len(thresholds) - 1, 400).long()]
    rates = [
        torch.searchsorted(scores.sort().values, thresholds).double() / len(scores)
        for scores in (negative, positive)
    ]
    fpr = np.concatenate([[0.0], (1 - rates[0]).flip(0).numpy(), [1.0]])
    fnr = np.concatenate([[1.0], rates[1].flip(0).numpy(), [0.0]])
    return fpr, fnr


def worst_forgotten(report: ComparisonReport, problem: UnlearningProblem) -> Figure | None:
    """The forget images with the largest epsilon, a line a method."""
    part = next((p for p in EPSILONS if any(p in r.examples for r in report.rows)), None)
    shape = problem.tables["train"].images.shape
    if part is None or len(shape) != 4 or shape[1] not in (1, 3):  # vectors, or logits alone
        return None
    rows = [r for r in report.rows if r.kind != "noise floor" and part in r.examples][:GRID_ROWS]
    columns = min(GRID_COLUMNS, len(report.forget_index))
    figure = Figure(figsize=(1.05 * columns, 1.55 * len(rows) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"forgotten worst, by {EPSILONS[part]}{_synthetic(report)}", fontsize=11)
    strips = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for row, strip in zip(rows, strips, strict=True):
        strip.suptitle(row.label, fontsize=9, x=0.01, ha="left", fontweight="bold")
        for place, axes in zip(
            worst(row, part)[:columns].tolist(),
            strip.subplots(1, columns, squeeze=False)[0],
            strict=True,
        ):
            epsilon = text(float(row.examples[part][place]), Quantity("", "lower"))
            label = _label_name(report.forget_targets[place], problem)
            axes.imshow(**_image(problem, int(report.forget_index[place])))
            axes.set_title(f"{label}\n{EPSILONS[part]} {epsilon}", fontsize=8)
            axes.set_axis_off()
    return figure


def worst(row: Row, part: str) -> Tensor:
    """Positions of the forget examples by falling epsilon; equal ones by falling KLoM."""
    epsilon = row.examples[part].nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    ties = row.examples.get("klom", torch.zeros_like(epsilon)).numpy()
    return torch.from_numpy(np.lexsort((-ties, -epsilon.numpy())))


def _image(problem: UnlearningProblem, index: int) -> dict:
    image = problem.tables["train"].images[index]
    if image.is_floating_point() and not 0 <= float(image.min()) <= float(image.max()) <= 1:
        image = (image - image.min()) / (image.max() - image.min())  # normalised network input
    pixels = image.permute(1, 2, 0).squeeze(-1).numpy()
    return {"X": pixels, "cmap": "gray"} if pixels.ndim == 2 else {"X": pixels}


def _label_name(target: Tensor, problem: UnlearningProblem) -> str:
    if not problem.task.is_classification:
        return f"{float(target):.0f} {problem.task.unit}".strip()
    names = problem.task.class_names
    return f"label {names[int(target)][:14] if names else int(target)}"


def _figure(report: ComparisonReport, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(f"{title}{_synthetic(report)}", fontsize=11)
    axes.grid(color="0.92")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _synthetic(report: ComparisonReport) -> str:
    return " (synthetic data)" if report.synthetic else ""


def _styled(report: ComparisonReport) -> list[tuple[Row, str, str]]:
    styled, number = [], 0
    for row in report.rows:
        if row.kind == "method":
            styled.append((row, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]))
            number += 1
        else:
            styled.append((row, "black" if row.kind == "noise floor" else "0.5", "s"))
    return styled


def _legend(row: Row) -> str:
    return row.label + "".join(f" ({flag})" for flag in row.flags)


def _legend_below(axes: Axes) -> None:
    handles = len(axes.get_legend_handles_labels()[0])
    columns = 2 if handles > 3 else 1
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=columns, fontsize=8, frameon=False
    )


def _has(row: Row, key: str) -> bool:
    return key in row.numbers and math.isfinite(row.numbers[key].value)


def _scale(quantity: Quantity) -> float:
    return 100.0 if quantity.unit == "%" else 1.0


def _scaled(number: Number, quantity: Quantity) -> tuple[float, float, float]:
    """Value and the ends of its interval in the unit shown; no interval = the value thrice."""
    interval, scale = number.interval, _scale(quantity)
    ends = (interval.low, interval.high) if interval else (number.value, number.value)
    low, high = (e if math.isfinite(e) else number.value for e in ends)
    return scale * number.value, scale * min(low, number.value), scale * max(high, number.value)
