"""A small comparison made by hand, for tests of tables and pages."""

import math

import torch

from unlearn.comparison.result import NOISE_FLOOR, ComparisonReport, Number, Pair, Row
from unlearn.evals.base import Quantity
from unlearn.metrics.bootstrap import Interval


def number(value: float, width: float, n: int = 8) -> Number:
    """A value with an interval of this half width and a gap to nothing."""
    interval = Interval(value, value - width, value + width, 0.95, "models", 100)
    return Number(value, width, n, over_models=interval, gap=interval)


def row(label: str, kind: str, test: float, epsilon: float, width: float = 0.01, **more) -> Row:
    numbers = {
        "accuracy/test": number(test, width),
        "epsilon_hat/median": number(epsilon, width)
        if not math.isnan(epsilon)
        else Number(math.nan, n=2, note="2 models of each kind, 8 are needed"),
    }
    runs = [
        {"seed": s, "original_seed": s, "metrics": {"accuracy/test": test + s / 1000}}
        for s in range(3)
    ]
    generator = torch.Generator().manual_seed(len(label))
    examples = {"epsilon_hat": epsilon + torch.rand(12, generator=generator).double()}
    scores = {
        "u_lira": {
            kind: torch.randn(40, generator=generator) + shift
            for kind, shift in (("unlearned", 0.5), ("retrained", 0.0))
        }
    }
    examples["epsilon_hat"][0] = math.inf
    return Row(label, kind, "each", numbers, runs, examples=examples, scores=scores, **more)


def told_apart(first: str, second: str, metric: str = "epsilon_hat/median") -> Pair:
    """Two rows that differ by more than chance."""
    difference = Interval(0.4, 0.1, 0.7, 0.95, "models", 100)
    return Pair(metric, first, second, difference, 12, 0.01, 0.03, 0.5)


def small_report(
    rows: list[Row] | None = None,
    synthetic: bool = False,
    pairs: tuple[Pair, ...] = (told_apart("ssd (alpha=10, dampening=0.5)", "gisa"),),
) -> ComparisonReport:
    rows = rows or [
        row(NOISE_FLOOR, "noise floor", 0.98, 0.9),
        row("original", "do-nothing", 0.99, 3.0),
        row("finetune", "method", 0.97, 2.0, flags=("equals the original",)),
        row("ssd (alpha=10, dampening=0.5)", "method", 0.95, 1.4),
        row("gisa", "method", 0.96, 1.1),
        row("scrub <few>", "method", 0.90, math.nan),
    ]
    return ComparisonReport(
        name="digits_small_cnn_random_10_percent",
        digest="0123456789abcdef",
        synthetic=synthetic,
        task="classification",
        sizes={"retain": 100, "forget": 12, "test": 30},
        quantities={
            "accuracy/test": Quantity("test", "higher", unit="%", headline=True),
            "epsilon_hat/median": Quantity("ε̂", "lower", headline=True),
        },
        populations=frozenset({"epsilon_hat/median"}),
        level=0.95,
        rows=rows,
        pairs=list(pairs),
        notes=["No number (-): too few. Run:  python unlearn.py method=scrub seeds=8"],
        provenance={
            "written": "2026-01-01T00:00:00+00:00",
            "command": "python evaluate.py",
            "machine": "Linux x86_64",
            "versions": {"torch": "2.11"},
            "models": [
                {
                    "row": "gisa",
                    "models": 3,
                    "seeds": "0-2",
                    "original_seeds": "0-2",
                    "devices": ["CPU, 1 threads"],
                    "trained_at_once": [1],
                    "command": "python unlearn.py " + "method.some_long_setting=0.123 " * 6,
                    "values": {"lr": 0.1},
                }
            ],
        },
        forget_index=torch.arange(12),
        forget_targets=torch.arange(12) % 10,
    )
