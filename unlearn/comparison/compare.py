"""Groups of models against retrained models: rows of numbers, and pairs of methods."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unlearn.comparison.flags import flags_of_coherence, flags_of_numbers, flags_of_outputs
from unlearn.comparison.groups import Group
from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.comparison.pairs import marked, paired_comparisons
from unlearn.comparison.reference_flags import flags_of_bank, flags_of_control
from unlearn.comparison.result import Pair, Row
from unlearn.comparison.rows import RowMaker
from unlearn.comparison.scoring import Resampling
from unlearn.comparison.yardstick import Yardstick
from unlearn.evals.base import Quantity

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compared:
    """Scored groups.

    Attributes:
        rows: the noise floor, then a row a group.
        pairs: every two rows on every headline number.
        quantities: meaning of every number that a row has, by key, in the order of tables.
        populations: keys of the numbers of populations of models.
    """

    rows: Sequence[Row]
    pairs: Sequence[Pair]
    quantities: Mapping[str, Quantity]
    populations: frozenset[str]


def compare_groups(
    yardstick: Yardstick,
    retrained: Group,
    groups: Sequence[Group],
    resampling: Resampling,
    controls: Mapping[str, Group] | None = None,
) -> Compared:
    """Score groups of models against a bank of retrained models.

    Args:
        yardstick: problem, evaluations and reference models.
        retrained: the bank; its halves against each other are the noise floor.
        groups: doing nothing and the methods.
        resampling: replicates and level.
        controls: for labels of groups, the same method's models that never saw the forget set.
    """
    controls = controls or {}
    maker = RowMaker(yardstick, retrained, resampling, memory=bool(controls))
    starts = (m.original_seed for g in groups for m in g.members if m.original_seed is not None)
    suspicious = flags_of_bank(retrained.members, starts, yardstick)
    rows = [replace(maker.noise_floor(), flags=suspicious)]
    for group in groups:
        log.info(
            "comparing %s: %d models with %d retrained ones",
            group.label,
            len(group),
            len(retrained),
        )
        once = group.distinct()
        flags = flags_of_outputs(once, yardstick)
        if len(once) < len(group):
            flags.insert(0, f"{len(group)} runs, {len(once)} different")
        control = controls.get(group.label)
        if control is not None:
            classification = yardstick.problem.task.is_classification
            flags += flags_of_control(once, control, classification)
        rows.append(maker.row(once, control and control.distinct(), rows[0], flags))
    quantities = quantities_of(yardstick, rows)
    headline = [key for key, quantity in quantities.items() if quantity.headline]
    scored = marked(rows, headline, resampling.level)
    floor = scored[0]
    rows = [floor]
    for row, group in zip(scored[1:], groups, strict=True):
        looks = flags_of_numbers(row, floor, quantities)
        fits = flags_of_coherence(row, group.distinct(), yardstick)
        rows.append(replace(row, flags=(*row.flags, *looks, *fits)))
    own = {
        f"{name}/{quantity}"
        for name, evaluation in yardstick.of_populations.items()
        for quantity in evaluation.quantities
    }
    return Compared(
        rows,
        paired_comparisons(rows, headline, resampling.level),
        quantities,
        frozenset(prefix + key for prefix in ("", MEMORY, SHIFT) for key in own),
    )


def quantities_of(yardstick: Yardstick, rows: Sequence[Row]) -> dict[str, Quantity]:
    """Meaning of every number that a row has; memory and shift follow the totals."""
    used = {key for row in rows for key in row.numbers}
    found = {key: q for key, q in yardstick.quantities.items() if key in used}
    for prefix in (MEMORY, SHIFT):
        for name, evaluation in yardstick.of_populations.items():
            for quantity, meaning in evaluation.quantities.items():
                key = f"{prefix}{name}/{quantity}"
                if key in used:
                    found[key] = replace(
                        meaning,
                        label=f"{prefix.strip(':')} {meaning.label}",
                        headline=quantity in evaluation.remembers,
                    )
    return found
