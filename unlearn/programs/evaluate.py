"""What `evaluate.py` does: every finished run of a problem against its retrained models."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from unlearn.comparison.checks import against_published
from unlearn.comparison.compare import compare_groups
from unlearn.comparison.concurrency import one_thread_an_operation
from unlearn.comparison.groups import Group, reference_group
from unlearn.comparison.mixture import mixture
from unlearn.comparison.notes import notes_of
from unlearn.comparison.provenance import provenance_of
from unlearn.comparison.result import ComparisonReport
from unlearn.comparison.runs import method_groups
from unlearn.errors import UserError, program
from unlearn.problem import UnlearningProblem
from unlearn.programs.console import say
from unlearn.programs.job import Job
from unlearn.programs.plan import EvaluatePlan, plan_comparison
from unlearn.report.terminal import print_comparison
from unlearn.report.write import write_report
from unlearn.storage.folders import DamagedEntry
from unlearn.storage.references import Role


def evaluate(job: Job) -> dict[str, Any]:
    """Compare, print and write the report.

    Returns:
        Folder of the report, and its rows' labels.

    Raises:
        UserError: the problem has no finished run, or the store no retrained model.
    """
    plan = plan_comparison(job)
    plan.logger.prepare()
    problem = plan.references.problem
    with one_thread_an_operation():
        report = compare(plan)
    report = write_report(report, problem, plan.report, plan.pictures)
    print_comparison(report)
    say(f"report: {report.folder}/index.html, and tables, pictures and examples.npz beside it")
    plan.logger.compared(replace(plan.info, name=f"comparison {problem.name}"), report)
    return {"report": str(report.folder), "rows": [row.label for row in report.rows]}


def compare(plan: EvaluatePlan) -> ComparisonReport:
    """The comparison itself; nothing is printed or written but numbers kept in the store.

    Damaged runs are named and left out.
    """
    damaged: set[Path] = set()
    while True:
        try:
            return _compare(plan, damaged)
        except DamagedEntry as error:  # weights, which are read only where a number needs them
            if error.folder in damaged:
                raise
            damaged.add(error.folder)
            say(f"the run {error.folder} is damaged ({error}) and left out")


def _compare(plan: EvaluatePlan, damaged: Container[Path]) -> ComparisonReport:
    references, yardstick = plan.references, plan.yardstick
    problem = references.problem
    words = f" {references.command}".rstrip()
    found = method_groups(
        plan.runs,
        problem,
        references.retain_examples,
        partial(references.weights, "original"),
        damaged,
    )
    groups = found.groups
    if groups and references.bank("retrained"):
        list(
            yardstick.retrained
        )  # those it lacks of references.retrained are made before it counts
    retrained = reference_group(references, "retrained", words)
    if not groups:
        raise UserError(
            f"{plan.runs} holds no finished run of this problem ({problem.name}): make "
            f"some with  {program('unlearn')} method=gisa seeds=8 original_seed=seed{words}"
        )
    if not len(retrained):
        raise UserError(
            f"{references.store.root} holds no retrained model of this problem: run first  "
            f"{program('train')} seeds=16{words}"
        )
    nothing = [g for g in groups if g.kind == "do-nothing"]
    originals = reference_group(references, "original", words)
    if not nothing or len(originals) > max(map(len, nothing)):
        nothing = [originals] if len(originals) else nothing
    chosen = [*nothing, *(g for g in groups if g.kind == "method")]
    compared = compare_groups(yardstick, retrained, chosen, plan.resampling, found.controls)
    roles: list[tuple[Role, Group]] = [("retrained", retrained), ("original", originals)]
    versions = [references.versions(role, m.seed) for role, group in roles for m in group.members]
    mixed = mixture([run.document for run in found.runs], versions)
    return ComparisonReport(
        name=problem.name,
        digest=problem.digest,
        synthetic=problem.synthetic,
        task=problem.task.kind,
        sizes={name: len(split) for name, split in problem.splits.items()},
        quantities=compared.quantities,
        populations=compared.populations,
        level=plan.resampling.level,
        rows=compared.rows,
        pairs=compared.pairs,
        notes=[
            *notes_of(
                yardstick.evaluations,
                retrained,
                chosen,
                found,
                plan.resampling.level,
                _refused(problem),
            ),
            *([mixed] if mixed else []),
        ],
        provenance=provenance_of(plan.overrides, retrained, chosen),
        forget_index=problem.splits["forget"].index,
        forget_targets=problem.splits["forget"].targets,
        published=None
        if plan.preset is None
        else against_published(plan.preset, compared.rows, compared.quantities),
    )


def _refused(problem: UnlearningProblem) -> str:
    """Why the problem's forget set has no control runs, empty where it has."""
    try:
        problem.control(0)
    except UserError as error:
        return str(error).removeprefix("control=true: ").split(". They would")[0]
    return ""
