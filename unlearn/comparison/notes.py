"""What a reader of the tables has to know, and the commands that make what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from unlearn.comparison.groups import Group
from unlearn.comparison.result import COMMAND
from unlearn.comparison.runs import Found
from unlearn.evals.base import Evaluation


def notes_of(
    evaluations: Mapping[str, Evaluation],
    retrained: Group,
    groups: Sequence[Group],
    found: Found,
    level: float,
    refused: str = "",
) -> list[str]:
    """Sentences under the tables.

    Args:
        evaluations: all evaluations by name.
        retrained: the bank of retrained models.
        groups: doing nothing and the methods.
        found: runs and control runs.
        level: coverage of intervals.
        refused: why the forget set has no control runs, empty where it has.
    """
    half = len(retrained) // 2
    populations = [e for e in evaluations.values() if e.min_models]
    fewest = min((e.min_models for e in populations), default=math.inf)
    if max(len(g) for g in (retrained, *groups)) > 1:
        notes = [
            f"Intervals cover, in {100 * level:g} % of tables, the number's expectation at the "
            "same number of models on the same examples. A number without one has too few models "
            "for an interval that holds, or never varies."
        ]
    else:
        notes = ["One model of each kind: numbers without intervals, and nothing is tested."]
    if len(retrained) > 1 and any("retrained" in e.references for e in evaluations.values()):
        notes.append(
            f"Distances to retraining are means over all {len(retrained)} retrained models."
        )
    if half >= fewest:
        notes.append(
            f"Noise floor: {half} retrained models scored against {half} others. ε, ε̂ and KLoM "
            "change with the number of models, so populations are compared with as many of each "
            "kind. A method cannot be closer to retraining than that by forgetting; smooth, "
            "constant or copied outputs can, and are flagged."
        )
    notes += _missing(evaluations, retrained, groups)
    notes += _without_controls([g for g in groups if len(g) >= fewest], found, refused, fewest)
    fewer = [g for g in groups if fewest <= len(g) < half]
    if fewer:
        sizes = ", ".join(f"{g.label} {len(g)}" for g in fewer)
        notes.append(
            f"Rows with fewer models than the noise floor do not compare with it: {sizes}."
        )
    largest = max(len(g) for g in groups)
    if largest > half and largest >= fewest:
        notes.append(
            f"To use all {largest} runs of a row:{COMMAND}{retrained.more} seeds={2 * largest}"
        )
    shared = [g for g in groups if g.starts == "one" and len(g) > 1]
    if shared:
        labels = ", ".join(g.label for g in shared)
        notes.append(
            f"Runs that share one original model: {labels}. Their intervals and tests hold for "
            "that original alone, since they vary by the unlearning seed only; "
            "original_seed=seed gives every run an original model of its own."
        )
    if found.left_out:
        notes.append(
            f"{found.left_out} runs kept another sample of the retain set "
            "(outputs.retain_examples) and are left out."
        )
    return notes


def _without_controls(
    groups: Sequence[Group], found: Found, refused: str, fewest: float
) -> list[str]:
    """Rows that show the total alone, and the command that makes their control runs."""
    controls = {g.label: len(found.controls.get(g.label, ())) for g in groups}
    lacking = [g for g in groups if g.kind == "method" and controls[g.label] < fewest]
    fewer = [
        f"{g.label} {len(found.controls[g.label])} of {len(g)}"
        for g in groups
        if g.label in found.controls and fewest <= len(found.controls[g.label]) < len(g)
    ]
    notes = []
    if fewer:
        notes.append(
            f"Memory and shift of rows with fewer control runs than runs are at that number of "
            f"models, and compare with no other row: {', '.join(fewer)}."
        )
    if lacking:
        labels = ", ".join(
            g.label + (f" (it has {controls[g.label]})" if controls[g.label] else "")
            for g in lacking
        )
        notes.append(
            f"Total alone, without memory and shift: {refused}."
            if refused
            else f"Total alone, without memory and shift, for lack of {fewest:g} control runs: "
            f"{labels}."
            f"{COMMAND}{lacking[0].more} seeds={len(lacking[0])} control=true"
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
        f"{COMMAND}{command} seeds={max(needs)}"
    )
