"""Pictures of a comparison, drawn without a display."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from unlearn.comparison.result import ComparisonReport, Row
from unlearn.evals.base import Quantity
from unlearn.problem import UnlearningProblem
from unlearn.report.numbers import text
from unlearn.report.scatter import forgetting_and_utility, memory_and_shift
from unlearn.report.style import figure_of, legend_below, legend_text, styled, synthetic_mark

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


def epsilons(report: ComparisonReport) -> Figure | None:
    """Share of forget examples up to each epsilon, by method, against the noise floor."""
    part = next((p for p in EPSILONS if any(p in row.examples for row in report.rows)), None)
    if part is None:
        return None
    symbol = EPSILONS[part]
    rows = [(r, c, m) for r, c, m in styled(report) if part in r.examples]
    finite = torch.cat([r.examples[part][r.examples[part].isfinite()] for r, _, _ in rows])
    top = float(finite.max()) if finite.numel() else 1.0
    figure, axes = figure_of(report, f"{symbol} of the forget examples")
    for row, colour, _ in rows:
        values = row.examples[part]
        values = values[~values.isnan()].sort().values
        share = torch.arange(1, len(values) + 1) / len(values)
        seen = values.isfinite()
        end = float(share[seen][-1]) if seen.any() else 0.0
        infinite = int((~seen).sum())
        label = legend_text(row) + (f", {infinite} of {len(values)} infinite" if infinite else "")
        axes.step(
            [*values[seen].tolist(), top],
            [*share[seen].tolist(), end],
            where="post",
            color=colour,
            linewidth=3 if row.kind == "noise floor" else 1.8,
            label=label,
        )
    axes.set_xlabel(f"{symbol} [nats], lower: harder to tell from retrained models")
    axes.set_ylabel(f"share of forget examples\nwith at most this {symbol}")
    axes.set_ylim(-0.02, 1.02)
    legend_below(axes)
    return figure


def error_trade_off(report: ComparisonReport) -> Figure | None:
    """False negatives against false positives of the U-LiRA test, by method."""
    rows = [(r, c) for r, c, _ in styled(report) if "u_lira" in r.scores]
    if not rows:
        return None
    figure, axes = figure_of(report, "error trade-off of the membership test (U-LiRA)")
    axes.plot([0, 1], [1, 0], color="0.6", linestyle=":", label="chance: perfect unlearning")
    for row, colour in rows:
        scores = row.scores["u_lira"]
        fpr, fnr = error_rates(scores["unlearned"], scores["retrained"])
        width = 3 if row.kind == "noise floor" else 1.8
        axes.plot(fpr, fnr, color=colour, linewidth=width, label=legend_text(row))
    axes.set_xlabel("false positives: retrained models called unlearned")
    axes.set_ylabel("false negatives:\nunlearned models called retrained")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    legend_below(axes)
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
    figure.suptitle(f"forgotten worst, by {EPSILONS[part]}{synthetic_mark(report)}", fontsize=11)
    strips = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for row, strip in zip(rows, strips, strict=True):
        strip.suptitle(
            f"{row.label} (n={row.models})", fontsize=9, x=0.01, ha="left", fontweight="bold"
        )
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
