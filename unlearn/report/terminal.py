"""The table at the end of a run."""

import statistics

from rich.console import Console
from rich.table import Table

from unlearn.evals.base import Evaluation, Quantity
from unlearn.problem import UnlearningProblem
from unlearn.record import RunRecord


def print_run_table(
    problem: UnlearningProblem,
    evaluations: dict[str, Evaluation],
    references: dict[str, list[dict[str, float]]],
    runs: list[RunRecord],
) -> None:
    """Original, retrained and unlearned models side by side; several runs as mean and deviation."""
    quantities = headline(problem, evaluations)
    sizes = {name: len(split) for name, split in problem.splits.items()}
    title = f"{problem.name}: forget {sizes['forget']} of {sizes['forget'] + sizes['retain']}"
    table = Table(title=title + (" (synthetic data)" if problem.synthetic else ""))
    table.add_column("model")
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


def headline(problem: UnlearningProblem, evaluations: dict[str, Evaluation]) -> dict[str, Quantity]:
    """The per-run quantities that the terminal shows, by key."""
    return {
        f"{name}/{quantity}": meaning
        for name, evaluation in evaluations.items()
        if not evaluation.min_models
        for quantity, meaning in evaluation.described(problem).items()
        if meaning.headline
    }


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
