"""Methods against each other on the same seeds and the same examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import torch

from unlearn.comparison.groups import Group
from unlearn.comparison.result import Pair, Row
from unlearn.comparison.scoring import Resampling
from unlearn.evals.base import Evaluation
from unlearn.metrics.bootstrap import Interval, PairedDifference, holm, paired_difference

FEWEST_PAIRS = 2


def paired_comparisons(
    rows: Sequence[tuple[Row, Group]],
    evaluations: Mapping[str, Evaluation],
    headline: Sequence[str],
    resampling: Resampling,
) -> list[Pair]:
    """Every two rows, on every headline number they share.

    Numbers of one model are paired over seeds, and only where both rows start from the same
    original models; numbers of populations are paired over forget examples.

    Args:
        rows: doing nothing and the methods, with their models.
        evaluations: all evaluations by name.
        headline: keys of the numbers to compare.
        resampling: replicates and level.

    Returns:
        Pairs with p-values that are Holm-corrected over the whole list.
    """
    found: list[Pair] = []
    for (first, group_a), (second, group_b) in combinations(rows, 2):
        for key in headline:
            name, quantity = key.split("/")
            evaluation = evaluations[name]
            if name == "cost":  # seconds are a fact of the machine, not a matter of chance
                continue
            paired = (
                _over_examples(first, second, evaluation, quantity, resampling)
                if evaluation.min_models
                else _over_seeds((first, group_a), (second, group_b), key, resampling)
            )
            if paired is not None:
                found.append(
                    Pair(
                        key,
                        first.label,
                        second.label,
                        paired.difference,
                        paired.pairs,
                        paired.p_value,
                        paired.p_value,
                    )
                )
    corrected = holm([pair.p_value for pair in found]).tolist()
    return [replace(pair, p_holm=p) for pair, p in zip(found, corrected, strict=True)]


def _over_examples(
    first: Row, second: Row, evaluation: Evaluation, quantity: str, resampling: Resampling
) -> PairedDifference | None:
    part, where = evaluation.over_examples.get(quantity, ("", "mean"))
    if part not in first.examples or part not in second.examples:
        return None
    a, b = first.examples[part], second.examples[part]
    usable = ~(a.isnan() | b.isnan())
    if where == "mean":
        usable &= a.isfinite() & b.isfinite()
    if int(usable.sum()) < FEWEST_PAIRS:
        return None
    return paired_difference(
        a[usable],
        b[usable],
        where,
        over="examples",
        replicates=resampling.examples,
        level=resampling.level,
    )


def _over_seeds(
    first: tuple[Row, Group], second: tuple[Row, Group], key: str, resampling: Resampling
) -> PairedDifference | None:
    group_a, group_b = first[1], second[1]
    if group_a.starts != group_b.starts or _start(group_a) != _start(group_b):
        return None
    values = [
        {
            seed: run["metrics"].get(key, math.nan)
            for seed, run in zip(group.pair_keys, row.runs, strict=True)
        }
        for row, group in (first, second)
    ]
    shared = [s for s in values[0] if s in values[1]]
    pairs = torch.tensor([[v[s] for s in shared] for v in values], dtype=torch.float64)
    pairs = pairs[:, ~pairs.isnan().any(0)] if shared else pairs
    if pairs.numel() < 2 * FEWEST_PAIRS or not pairs.isfinite().all():
        return None
    return paired_difference(
        pairs[0],
        pairs[1],
        over="seeds",
        replicates=resampling.examples,
        level=resampling.level,
    )


def _start(group: Group) -> int | None:
    return group.members[0].original_seed if group.starts == "one" else None


def is_significant(pair: Pair, level: float = 0.05) -> bool:
    """Whether a difference holds for the table as a whole."""
    interval: Interval = pair.difference
    return pair.p_holm < level and not interval.low <= 0 <= interval.high
