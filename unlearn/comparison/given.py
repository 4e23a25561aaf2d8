"""Comparisons of models that are at hand, without a store or run records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import torch
from torch import Tensor, nn

from unlearn.comparison.compare import Compared, compare_groups, quantities_of
from unlearn.comparison.concurrency import one_thread_an_operation
from unlearn.comparison.groups import FREE, Group, Kind, Member
from unlearn.comparison.notes import notes_of
from unlearn.comparison.provenance import provenance_of
from unlearn.comparison.result import COMMAND, ComparisonReport, Number, Row, RowKind
from unlearn.comparison.runs import Found
from unlearn.comparison.scoring import Resampling, gap_to, run_numbers
from unlearn.comparison.yardstick import Yardstick
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.storage.predictions import BySplit
from unlearn.training.fit import Costs

ROW_KINDS: dict[Kind, RowKind] = {
    "retrained": "noise floor",
    "do-nothing": "do-nothing",
    "method": "method",
}


def given_group(
    label: str,
    kind: Kind,
    predictions: Sequence[BySplit],
    nets: Sequence[Callable[[], nn.Module]] | None = None,
    *,
    originals: int = 0,
) -> Group:
    """Models that somebody else made, as a row of a comparison. What they cost is unknown.

    Args:
        label: name of the row.
        kind: what the models are.
        predictions: of each model by split.
        nets: make copies of their networks, None where there are only answers.
        originals: original models at hand: none, one that all models started from, or one each.

    Raises:
        UserError: a method is called like the row of another kind.
    """

    def member(number: int) -> Member:
        starts_from = None
        if originals and kind != "retrained":
            starts_from = number if originals > 1 else 0
        costs = {**asdict(Costs.unknown()), **(FREE if kind == "do-nothing" else {})}
        return Member(
            seed=number,
            original_seed=starts_from,
            costs=costs,
            read=lambda: predictions[number],
            net=None if nets is None else nets[number],
            identity=f"{kind} {label} {number}",
            metrics={},
            evaluations={},
        )

    if kind == "method" and label in ("retrained", "original"):
        raise UserError(f"unlearned: {label!r} is the name of another row; choose a different one")
    members = tuple(map(member, range(len(predictions))))
    if kind == "retrained" or not originals:
        return Group(label, kind, members, "", {}, "")
    starts = "each" if originals > 1 or kind == "do-nothing" else "one"
    return Group(label, kind, members, starts, {}, "")  # type: ignore[arg-type]


def compare_given(
    yardstick: Yardstick,
    retrained: Group,
    groups: Sequence[Group],
    controls: Mapping[str, Group],
    resampling: Resampling,
    call: str,
) -> ComparisonReport:
    """Compare groups of given models with given retrained ones, as `evaluate.py` compares runs.

    Args:
        yardstick: problem, evaluations and reference models, without a store.
        retrained: the bank.
        groups: doing nothing and the methods.
        controls: for labels of groups, the same method's models that never saw the forget set.
        resampling: replicates and level.
        call: the function that was called, for the provenance.
    """
    with one_thread_an_operation():
        compared = compare_groups(yardstick, retrained, groups, resampling, controls)
    notes = notes_of(
        yardstick.evaluations, retrained, groups, Found(groups, controls, 0), resampling.level
    )
    return _report(
        yardstick, compared, [retrained, *groups], _without_commands(notes), resampling.level, call
    )


def evaluate_given(
    yardstick: Yardstick, groups: Sequence[Group], resampling: Resampling, call: str
) -> ComparisonReport:
    """Numbers of single models, a row a group; retrained models, where given, are the first row.

    Args:
        yardstick: problem, evaluations and reference models, without a store.
        groups: the evaluated model and the references.
        resampling: level of intervals.
        call: the function that was called, for the provenance.
    """
    with one_thread_an_operation():
        rows = [_row(yardstick, group, resampling.level) for group in groups]
    notes = []
    if rows[0].kind == "noise floor":
        floor = rows[0].numbers
        rows = [rows[0], *(_with_gaps(row, floor, resampling.level) for row in rows[1:])]
    else:
        notes.append(
            "No retrained model was given, so distances to retraining have no number (-), and "
            "nothing says what a number should be."
        )
    compared = Compared(rows, [], quantities_of(yardstick, rows), frozenset())
    return _report(yardstick, compared, groups, notes, resampling.level, call)


def _row(yardstick: Yardstick, group: Group, level: float) -> Row:
    metrics = yardstick.of_all(group.members)
    distances = [yardstick.distances(member) for member in group.members]
    runs = [
        {"seed": member.seed, "original_seed": member.original_seed, "metrics": values}
        for member, values in zip(group.members, metrics, strict=True)
    ]
    return Row(
        group.label,
        ROW_KINDS[group.kind],
        group.starts,
        run_numbers(group, metrics, distances, level, yardstick.quantities),
        runs,
        examples={"loss": _losses(group, yardstick.problem.task)},
    )


def _with_gaps(row: Row, floor: Mapping[str, Number], level: float) -> Row:
    """A row with how far its numbers are from the retrained models'."""
    gaps = {
        key: replace(number, gap=gap_to(number, floor[key], level))
        for key, number in row.numbers.items()
        if key in floor
    }
    return replace(row, numbers={**row.numbers, **gaps})


def _report(
    yardstick: Yardstick,
    compared: Compared,
    groups: Sequence[Group],
    notes: Sequence[str],
    level: float,
    call: str,
) -> ComparisonReport:
    problem = yardstick.problem
    provenance = {**provenance_of([], groups[0], groups[1:]), "command": call}
    # No command line makes these models.
    provenance["models"] = [{**models, "command": ""} for models in provenance["models"]]
    return ComparisonReport(
        name=problem.name,
        digest=problem.digest,
        synthetic=problem.synthetic,
        task=problem.task.kind,
        sizes={name: len(split) for name, split in problem.splits.items()},
        quantities=compared.quantities,
        populations=compared.populations,
        level=level,
        rows=compared.rows,
        pairs=compared.pairs,
        notes=notes,
        provenance=provenance,
        forget_index=problem.splits["forget"].index,
        forget_targets=problem.splits["forget"].targets,
    )


def _losses(group: Group, task: Task) -> Tensor:
    """Loss of every forget example `(examples,)`, mean over the models of a group."""
    found = [member.read()["forget"] for member in group.members]
    return torch.stack([task.criterion(p.logits, p.targets, "none") for p in found]).mean(0)


def _without_commands(notes: Sequence[str]) -> list[str]:
    """Notes as they are where no command line can make more models."""
    words = (note.partition(COMMAND)[0].strip() for note in notes)
    return [note for note in words if not note.endswith(":")]


def originals_of(group: Group | None) -> Callable[[int], Member]:
    """Looks up the original model that another started from."""
    members: Mapping[int, Member] = {m.seed: m for m in group.members} if group else {}
    return members.__getitem__


def check_originals(originals: int, models: int, name: str) -> None:
    """Raises `UserError` unless there is no original model, one for all, or one each."""
    if originals > 1 and originals != models:
        raise UserError(
            f"original: {originals} models for the {models} of {name}; give one that all started "
            "from, or one for each, in order"
        )


def check_rows(controls: Iterable[str], rows: Iterable[str], name: str) -> None:
    """Raises `UserError` where control models belong to no row."""
    if unknown := set(controls) - set(rows):
        raise UserError(
            f"control: {', '.join(sorted(unknown))} is no row of {name}, which has "
            f"{', '.join(rows)}"
        )
