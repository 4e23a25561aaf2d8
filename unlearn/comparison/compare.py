"""Groups of models against retrained models: rows of numbers, and pairs of methods."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from unlearn.comparison.flags import flags_of
from unlearn.comparison.groups import Group
from unlearn.comparison.pairs import paired_comparisons
from unlearn.comparison.result import Pair, Row
from unlearn.comparison.rows import RowMaker
from unlearn.comparison.scoring import Resampling
from unlearn.comparison.yardstick import Yardstick

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compared:
    """Scored groups.

    Attributes:
        rows: the noise floor, then a row a group.
        pairs: every two rows on every headline number.
    """

    rows: Sequence[Row]
    pairs: Sequence[Pair]


def compare_groups(
    yardstick: Yardstick, retrained: Group, groups: Sequence[Group], resampling: Resampling
) -> Compared:
    """Score groups of models against a bank of retrained models.

    Args:
        yardstick: problem, evaluations and reference models.
        retrained: the bank; its halves against each other are the noise floor.
        groups: doing nothing and the methods.
        resampling: replicates and level.
    """
    problem = yardstick.problem
    floor_metrics = yardstick.of_all(retrained.members)
    maker = RowMaker(problem, yardstick.of_populations, retrained, resampling)
    rows = [maker.noise_floor(floor_metrics)]
    for group in groups:
        log.info(
            "comparing %s: %d models with %d retrained ones",
            group.label,
            len(group),
            len(retrained),
        )
        metrics = yardstick.of_all(group.members)
        rows.append(maker.row(group, metrics, floor_metrics, rows[0], _flags(group, yardstick)))
    headline = [key for key, quantity in yardstick.quantities.items() if quantity.headline]
    scored = list(zip(rows[1:], groups, strict=True))
    pairs = paired_comparisons(scored, yardstick.evaluations, headline, resampling)
    return Compared(rows, pairs)


def _flags(group: Group, yardstick: Yardstick) -> list[str]:
    if group.kind == "do-nothing":
        return []
    seeds = {m.original_seed for m in group.members if m.original_seed is not None}
    return flags_of(
        group,
        {seed: yardstick.original(seed).read() for seed in seeds},
        [member.read() for member in yardstick.retrained],
        yardstick.problem.task.is_classification,
    )
