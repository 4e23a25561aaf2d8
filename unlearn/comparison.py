"""What `evaluate.py` does: every finished run of a problem against its retrained models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearn.comparing.concurrency import one_thread_an_operation
from unlearn.comparing.flags import flags_of
from unlearn.comparing.pairs import paired_comparisons
from unlearn.comparing.populations import Group, method_groups, reference_group
from unlearn.comparing.rows import RowMaker
from unlearn.comparing.scoring import Resampling, Scores
from unlearn.configuration import build
from unlearn.errors import UserError
from unlearn.evals.base import Evaluation, Quantity
from unlearn.loggers import RunLogger
from unlearn.problem import UnlearningProblem
from unlearn.progress import say
from unlearn.references import References
from unlearn.report.notes import notes_of
from unlearn.report.provenance import provenance_of
from unlearn.report.results import ComparisonReport
from unlearn.report.terminal import print_comparison
from unlearn.report.write import write_report
from unlearn.run_evaluation import evaluation_digests
from unlearn.runner import run_info
from unlearn.setup import Job, evaluations_of, problem_of, references_of, settings_of


def evaluate(job: Job) -> dict[str, Any]:
    """Compare, print and write the report.

    Returns:
        Folder of the report, and its rows' labels.

    Raises:
        UserError: the problem has no finished run, or the store no retrained model.
    """
    logger: RunLogger = build(job.config.logger, "logger")
    logger.prepare()
    problem = problem_of(job)
    with one_thread_an_operation():
        report = compare(job, problem, references_of(job, problem, settings_of(job)))
    report = write_report(report, problem, Path(job.config.paths.report), job.config.pictures)
    print_comparison(report)
    say(f"report: {report.folder}/index.html, and tables, pictures and examples.npz beside it")
    info = run_info(job, problem, seed=None)
    logger.compared(replace(info, name=f"comparison {problem.name}", method="comparison"), report)
    return {"report": str(report.folder), "rows": [row.label for row in report.rows]}


def compare(job: Job, problem: UnlearningProblem, references: References) -> ComparisonReport:
    """The comparison itself; nothing is printed or written but numbers kept in the store."""
    config = job.config
    resampling = Resampling(**job.plain("bootstrap"))
    evaluations = evaluations_of(job, problem)
    words = f" {job.problem_overrides}".rstrip()
    groups, left_out = method_groups(
        Path(config.paths.runs), problem, config.outputs.retain_examples
    )
    retrained = reference_group(references, "retrained", words)
    if not groups:
        raise UserError(
            f"{config.paths.runs} holds no finished run of this problem ({problem.name}): make "
            f"some with  python unlearn.py method=gisa seeds=8{words}"
        )
    if not len(retrained):
        raise UserError(
            f"{config.paths.store} holds no retrained model of this problem: run first  "
            f"python train.py seeds=16{words}"
        )
    nothing = [g for g in groups if g.kind == "do-nothing"]
    originals = reference_group(references, "original", words)
    if not nothing or len(originals) > max(map(len, nothing)):
        nothing = [originals] if len(originals) else nothing
    chosen = [*nothing, *(g for g in groups if g.kind == "method")]

    scores = Scores(
        references,
        {name: e for name, e in evaluations.items() if not e.min_models},
        evaluation_digests(job, evaluations),
        list(range(config.references.retrained)),
    )
    floor_metrics = scores.of_all(retrained.members)
    maker = RowMaker(problem, evaluations, retrained, resampling)
    quantities = _quantities(problem, evaluations)
    rows = [maker.noise_floor(floor_metrics)]
    for group in chosen:
        say(f"comparing {group.label}: {len(group)} models with {len(retrained)} retrained ones")
        metrics = scores.of_all(group.members)
        flags = _flags(group, problem, references, scores)
        rows.append(maker.row(group, metrics, floor_metrics, rows[0], flags))
    headline = [key for key, quantity in quantities.items() if quantity.headline]
    pairs = paired_comparisons(
        list(zip(rows[1:], chosen, strict=True)), evaluations, headline, resampling
    )
    used = {key for row in rows for key in row.numbers}
    return ComparisonReport(
        name=problem.name,
        digest=problem.digest,
        synthetic=problem.synthetic,
        task=problem.task.kind,
        sizes={name: len(split) for name, split in problem.splits.items()},
        quantities={key: q for key, q in quantities.items() if key in used},
        populations=frozenset(
            f"{name}/{q}" for name, e in evaluations.items() if e.min_models for q in e.quantities
        ),
        rows=rows,
        pairs=pairs,
        notes=notes_of(evaluations, retrained, chosen, resampling, left_out),
        provenance=provenance_of(job, retrained, chosen),
        forget_index=problem.splits["forget"].index,
        forget_targets=problem.splits["forget"].targets,
    )


def _quantities(
    problem: UnlearningProblem, evaluations: Mapping[str, Evaluation]
) -> dict[str, Quantity]:
    return {
        f"{name}/{quantity}": meaning
        for name, evaluation in evaluations.items()
        for quantity, meaning in evaluation.described(problem).items()
    }


def _flags(
    group: Group, problem: UnlearningProblem, references: References, scores: Scores
) -> list[str]:
    if group.kind == "do-nothing":
        return []
    seeds = {m.original_seed for m in group.members if m.original_seed is not None}
    originals = {seed: references.outputs("original", seed) for seed in seeds}
    return flags_of(group, originals, scores.retrained, problem.task.is_classification)
