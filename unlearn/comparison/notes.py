"""What a reader of the tables has to know, and the commands that make what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearn.comparison.groups import Group
from unlearn.comparison.result import COMMAND
from unlearn.comparison.scoring import Resampling
from unlearn.evals.base import Evaluation


def notes_of(
    evaluations: Mapping[str, Evaluation],
    retrained: Group,
    groups: Sequence[Group],
    resampling: Resampling,
    left_out: int,
) -> list[str]:
    """Sentences under the tables.

    Args:
        evaluations: all evaluations by name.
        retrained: the bank of retrained models.
        groups: doing nothing and the methods.
        resampling: replicates and level.
        left_out: runs that kept outputs of another retain sample.
    """
    half = len(retrained) // 2
    notes = [
        f"Intervals are {resampling.level:.0%} bootstrap intervals over models; results.csv has "
        "those over examples too.",
        f"Noise floor: {half} retrained models scored against {half} others. ε, ε̂ and KLoM change "
        f"with the number of models, so populations are compared with {half} of each kind wherever "
        "there are more; results.csv has the values with all of them (value_with_all).",
    ]
    notes += _missing(evaluations, retrained, groups)
    fewer = [g for g in groups if len(g) < half]
    if fewer and any(e.min_models for e in evaluations.values()):
        sizes = ", ".join(f"{g.label} {len(g)}" for g in fewer)
        notes.append(
            f"Rows with fewer models than the noise floor do not compare with it: {sizes}."
        )
    largest = max(len(g) for g in groups)
    if largest > half:
        notes.append(
            f"To use all {largest} runs of a row:{COMMAND}python {retrained.more} "
            f"seeds={2 * largest}"
        )
    if {g.starts for g in groups if len(g) > 1} == {"each", "one"}:
        notes.append(
            "Rows whose runs share one original model vary by the unlearning seed only and are "
            "easier to tell from retrained models; compare populations only among rows that start "
            "alike (original_seed=seed gives every run an original model of its own)."
        )
    if left_out:
        notes.append(
            f"{left_out} runs kept another sample of the retain set (outputs.retain_examples) and "
            "are left out."
        )
    return notes


def _missing(
    evaluations: Mapping[str, Evaluation], retrained: Group, groups: Sequence[Group]
) -> list[str]:
    wanted = {name: e for name, e in evaluations.items() if e.min_models}
    notes = []
    few = {n: e for n, e in wanted.items() if len(retrained) < 2 * e.min_models}
    if few:
        notes.append(_sentence("retrained", len(retrained), few, retrained.more, 2))
    # Rows that lack the same evaluations share a sentence, with the command of the first of them.
    alike: dict[tuple[tuple[str, ...], int], list[Group]] = {}
    for group in groups:
        lacking = tuple(n for n, e in wanted.items() if len(group) < e.min_models)
        alike.setdefault((lacking, len(group)), []).append(group)
    for (lacking, have), rows in alike.items():
        if lacking:
            label = ", ".join(group.label for group in rows)
            few = {name: wanted[name] for name in lacking}
            each = "each of " if len(rows) > 1 else ""
            notes.append(_sentence(each + label, have, few, rows[0].more, 1))
    return notes


def _sentence(
    label: str, have: int, few: Mapping[str, Evaluation], command: str, halves: int
) -> str:
    needs: dict[int, list[str]] = {}
    for name, evaluation in few.items():
        words = f"{name} (its authors used {evaluation.wants_models})"
        needs.setdefault(halves * evaluation.min_models, []).append(words)
    parts = [f"{count} are needed for {', '.join(names)}" for count, names in needs.items()]
    both = ", in both halves of the noise floor" if halves == 2 else ""
    models = "model" if have == 1 else "models"
    return (
        f"No number (-): {label} has {have} {models}; {'; '.join(parts)}{both}."
        f"{COMMAND}python {command} seeds={max(needs)}"
    )
