"""Rows against each other, and the marks that say what a row is not told apart from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from unlearn.comparison.memory import MEMORY, SHIFT
from unlearn.comparison.result import Number, Pair, Row
from unlearn.metrics.differences import Difference, difference_test, holm
from unlearn.metrics.means import mean_difference

NOT_TESTED = ("cost",)  # facts of the machine and the code, not matters of chance


def paired_comparisons(rows: Sequence[Row], headline: Sequence[str], level: float) -> list[Pair]:
    """Every two rows, the noise floor among them, on every headline number that both have.

    Models are what could have been others: the test's uncertainty comes from resampling them, and
    what two rows share, retrained models and originals that runs started from, cancels.

    Args:
        rows: the noise floor, doing nothing and the methods.
        headline: keys of the numbers to compare.
        level: coverage of the intervals.

    Returns:
        Pairs with p-values that are Holm-corrected over the whole list.
    """
    found: list[Pair] = []
    for first, second in combinations(rows, 2):
        if not same_starts(first, second):
            continue
        for key in headline:
            if key.split("/")[0] in NOT_TESTED:
                continue
            tested = compared(first.numbers.get(key), second.numbers.get(key), level)
            if tested is not None and not math.isnan(tested.p_value):
                n = min(first.numbers[key].n, second.numbers[key].n)
                found.append(
                    Pair(
                        key,
                        first.label,
                        second.label,
                        tested.interval,
                        n,
                        tested.p_value,
                        tested.p_value,
                        tested.detectable,
                    )
                )
    corrected = holm([pair.p_value for pair in found]).tolist()
    return [replace(pair, p_holm=p) for pair, p in zip(found, corrected, strict=True)]


def marked(rows: Sequence[Row], headline: Sequence[str], level: float) -> list[Row]:
    """The rows with what each headline number is not told apart from, at 1 - `level`.

    Runs that share one original model are not held against doing nothing on others. Two marks:
    retraining (of memory: having none), and doing nothing. Where a relabelling of models
    was tested, that is the test of the first mark; elsewhere it is the difference to the noise
    floor. Holm corrects over the marks of a number, which are read down one column: over all
    columns at once, a wide table would tell nothing apart.

    Args:
        rows: the noise floor first.
        headline: keys of the numbers that are marked.
        level: 1 - size of the tests.
    """
    floor = rows[0]
    nothing = next((row for row in rows if row.kind == "do-nothing"), None)
    result = [dict(row.numbers) for row in rows]
    for key in headline:
        if key.split("/")[0] in NOT_TESTED:
            continue
        p_values: dict[tuple[int, str], float] = {}
        for position, row in enumerate(rows):
            number = row.numbers.get(key)
            if number is None or row is floor:
                continue
            p_values[position, "as_retrained"] = _told_from_retraining(key, number, floor, level)
            if nothing is not None and row is not nothing and same_starts(row, nothing):
                told = compared(number, nothing.numbers.get(key), level)
                p_values[position, "as_nothing"] = told.p_value if told else math.nan
        tested = {where: p for where, p in p_values.items() if not math.isnan(p)}
        for (position, mark), p in zip(tested, holm(list(tested.values())).tolist(), strict=True):
            alike = p >= 1 - level - 1e-12
            result[position][key] = replace(result[position][key], **{mark: alike})
    return [replace(row, numbers=numbers) for row, numbers in zip(rows, result, strict=True)]


def _told_from_retraining(key: str, number: Number, floor: Row, level: float) -> float:
    if not math.isnan(number.p_value) or key.startswith((MEMORY, SHIFT)):
        return number.p_value
    told = compared(number, floor.numbers.get(key), level)
    return told.p_value if told else math.nan


def same_starts(first: Row, second: Row) -> bool:
    """Whether two rows vary alike: runs that share one original model say nothing of others."""
    if not first.starts or not second.starts:  # retrained models start from none
        return True
    if first.starts != second.starts:
        return False
    return first.starts == "each" or (
        first.runs[0]["original_seed"] == second.runs[0]["original_seed"]
    )


def compared(first: Number | None, second: Number | None, level: float) -> Difference | None:
    """Test of two numbers, None where they cannot be compared: means over models with each other,
    numbers of populations of equally many models with each other."""
    if first is None or second is None or math.isnan(first.value) or math.isnan(second.value):
        return None
    if first.mean is not None and second.mean is not None:
        if not (math.isfinite(first.value) and math.isfinite(second.value)):
            return None
        return mean_difference(first.mean, second.mean, level)
    if first.draws is None or second.draws is None or first.n != second.n:
        return None
    if first.fewest is None or len(first.draws) != len(second.draws):
        return None
    return difference_test(
        first.value,
        first.draws,
        second.value,
        second.draws,
        first.n,
        level,
        fewest=first.fewest,
    )
