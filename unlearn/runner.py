"""What `train.py` and `unlearn.py` do. No method is named here."""

import copy
import logging
import math
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning import Callback
from omegaconf import OmegaConf
from torch import nn

from unlearn.configuration import build
from unlearn.distributed import agree, is_first
from unlearn.ensemble import fit_bank
from unlearn.errors import UnsupportedProblem, UserError
from unlearn.evals.base import Evaluation
from unlearn.loggers import NoLogger, RunInfo, RunLogger
from unlearn.methods.base import UnlearningMethod
from unlearn.outputs import collect
from unlearn.problem import ProblemView, UnlearningProblem, canonical_digest
from unlearn.progress import TrainingProgress, say
from unlearn.record import RunRecord, note_failure, read_record, versions, write_record
from unlearn.references import References
from unlearn.report.terminal import print_run_table
from unlearn.run_evaluation import evaluate, evaluation_digests, gather, reference_rows
from unlearn.setup import (
    Job,
    evaluations_of,
    original_seed_of,
    problem_of,
    references_of,
    seeds_of,
    settings_of,
)
from unlearn.store import DamagedEntry
from unlearn.trainer import Costs, TrainerSettings

log = logging.getLogger(__name__)


def train(job: Job) -> dict[str, Any]:
    """Make sure that reference models exist: `role=original|retrain`, `seed` or `seeds`.

    Returns:
        Role, seeds asked for and seeds trained.
    """
    config = job.config
    role = {"original": "original", "retrain": "retrained"}.get(config.role)
    if role is None:
        raise UserError(f"role must be original or retrain, got {config.role!r}")
    seeds = [config.seed] if config.seeds is None else seeds_of(config.seeds)
    problem, settings = problem_of(job), settings_of(job)
    references = references_of(job, problem, settings)
    references.missing = "train"
    trained = references.train_bank(role, seeds, config.at_once, progress=say)  # type: ignore[arg-type]
    seconds = references.seconds(role, seeds)  # type: ignore[arg-type]
    for seed in seeds:
        references.outputs(role, seed)  # type: ignore[arg-type]
    say(
        f"{role} models of {problem.name}: {len(seeds)} wanted, {len(trained)} trained now, "
        f"{len(seeds) - len(trained)} were there; {seconds:.2f} s a model"
    )
    return {"role": role, "seeds": seeds, "trained": trained, "ran": len(trained)}


def unlearn(job: Job) -> dict[str, Any]:
    """Run the chosen method for one seed or a bank of them, evaluate and record every run.

    Returns:
        Folders of the runs, how many were done now, and the metrics of the last.
    """
    config = job.config
    prototype: UnlearningMethod = build(config.method, "method")
    settings = settings_of(job)
    problem = problem_of(job)
    try:
        prototype.check_supports(problem.view(prototype.requires))
    except UserError as error:
        raise UnsupportedProblem(str(error)) from None
    evaluations = evaluations_of(job, problem)
    references = references_of(job, problem, settings)
    seeds = [config.seed] if config.seeds is None else seeds_of(config.seeds)
    folders = {seed: run_folder(job, problem, settings, seed) for seed in seeds}
    done: list[int] = []
    todo: list[int] = []
    for seed, folder in folders.items():
        complete = None if config.overwrite else completed(folder, job, references, evaluations)
        (todo if complete is None else done).append(seed)
    done, todo = agree((done, todo))
    if todo:
        _prepare_references(config, references, todo)
        # Another process may be at the same run: wait for it, then find it complete.
        locks = [_run_lock(folders[seed]) for seed in todo if is_first()]
        for lock in locks:
            lock.acquire()
        try:
            if not config.overwrite:
                done += [
                    seed
                    for seed in todo
                    if completed(folders[seed], job, references, evaluations) is not None
                ]
                done, todo = agree((done, [seed for seed in todo if seed not in done]))
            if todo:
                _run(job, problem, settings, references, evaluations, todo, folders)
        except Exception as error:
            told = str(error) if isinstance(error, UserError) else traceback.format_exc()
            for seed in todo:
                if read_record(folders[seed]) is None:
                    note_failure(folders[seed], told)
            raise
        finally:
            for lock in locks:
                lock.release()
    if job.sweep is None:
        for seed in done:
            say(f"seed {seed} is complete and skipped (overwrite=true repeats it): {folders[seed]}")
    runs = [read_record(folder) for folder in folders.values()]
    # A sweep prints one summary, not a table a job.
    table = job.sweep is None if config.table is None else config.table
    if table and runs[-1] is not None and is_first():
        rows = reference_rows(job, references, evaluations)
        print_run_table(problem, evaluations, rows, [run for run in runs if run is not None])
    return {
        "folders": [str(folder) for folder in folders.values()],
        "ran": len(todo),
        "skipped": len(done),
        "metrics": runs[-1].document["metrics"] if runs[-1] else {},
    }


def _prepare_references(config: Any, references: References, seeds: Sequence[int]) -> None:
    originals = sorted({original_seed_of(config, seed) for seed in seeds})
    retrained = list(range(config.references.retrained))
    references.require({"original": originals, "retrained": retrained})
    references.train_bank("original", originals, config.at_once, progress=say)
    references.train_bank("retrained", retrained, progress=say)


def _run(
    job: Job,
    problem: UnlearningProblem,
    settings: TrainerSettings,
    references: References,
    evaluations: dict[str, Evaluation],
    seeds: Sequence[int],
    folders: dict[int, Path],
) -> None:
    config = job.config
    logger: RunLogger = build(config.logger, "logger") if is_first() else NoLogger()
    logger.prepare()
    views: dict[int, ProblemView] = {}
    quantities = {
        f"{name}/{quantity}": meaning
        for name, evaluation in evaluations.items()
        for quantity, meaning in evaluation.described(problem).items()
    }

    def make(seed: int) -> tuple[UnlearningMethod, nn.Module, ProblemView]:
        method = build(config.method, "method")
        views[seed] = problem.view(method.requires)
        original = references.net("original", original_seed_of(config, seed))
        return method, original, views[seed]

    def finished(seed: int, method: UnlearningMethod, costs: Costs) -> None:
        predictions = collect(
            method.net, problem, problem.splits, settings, references.retain_examples
        )
        start = original_seed_of(config, seed)
        outputs = gather(references, config, start, predictions, asdict(costs))
        metrics = evaluate(evaluations, outputs, problem, method.net)
        document = run_document(job, problem, seed, metrics, asdict(costs), evaluations)
        document["data_access"] = {
            "requires": list(method.requires),
            "reads": sorted(views[seed].reads),
        }
        state = dict(method.net.state_dict()) if config.save_model else None
        write_record(folders[seed], document, predictions, state)
        logger.finished(run_info(job, problem, seed), document, quantities, folders[seed])

    def watchers(seed: int) -> list[Callback]:
        title = f"unlearning with {job.choices['method']} (seed {seed})"
        logging_it = logger.started(run_info(job, problem, seed))
        return [TrainingProgress(title), *logging_it, *evaluations.values()]

    try:
        fit_bank(
            make,
            seeds,
            settings=settings,
            at_once=config.at_once if config.seeds is not None else 1,
            finished=finished,
            callbacks=watchers,
            progress=say if len(seeds) > 1 else None,
        )
    except BaseException:
        logger.failed()
        raise


def run_info(job: Job, problem: UnlearningProblem, seed: int | None) -> RunInfo:
    """How a run is called where it is logged."""
    method = job.choices.get("method", "")
    asked = OmegaConf.to_container(job.config, resolve=True)
    assert isinstance(asked, dict)
    hidden = ("paths", "logger", "hydra")
    return RunInfo(
        name=f"{method} seed {seed}",
        method=method,
        group=job.sweep or problem.name,
        tags=tuple(job.choices[group] for group in ("dataset", "model", "forget")),
        config={
            **{str(key): value for key, value in asked.items() if key not in hidden},
            "seed": seed,
            "choices": {k: v for k, v in job.choices.items() if "/" not in k},
            "problem_digest": problem.digest,
        },
    )


def run_folder(job: Job, problem: UnlearningProblem, settings: TrainerSettings, seed: int) -> Path:
    """Where a run's record lies: by problem, method with its values, and seeds; stable."""
    method = canonical_digest([job.plain("method"), settings.precision])[:8]
    return (
        Path(job.config.paths.runs)
        / f"{problem.name}-{problem.digest[:10]}"
        / f"{job.choices['method']}-{method}"
        / f"original{original_seed_of(job.config, seed)}_seed{seed}"
    )


def _run_lock(folder: Path) -> FileLock:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.parent / f".{folder.name}.lock")


def completed(
    folder: Path, job: Job, references: References, evaluations: dict[str, Evaluation]
) -> RunRecord | None:
    """A finished run that has every evaluation asked for; evaluations it lacks are added to it."""
    record = read_record(folder)
    if record is None:
        return None
    per_run = evaluation_digests(job, evaluations)
    kept = record.document["evaluations"]
    missing = {name: e for name, e in evaluations.items() if kept.get(name) != per_run[name]}
    if not missing:
        return record
    try:
        state, predictions = record.state(), record.outputs()
    except DamagedEntry:
        return None
    if state is None:
        return None
    say(f"adding {', '.join(missing)} to the finished run {folder}")
    net = references.problem.fresh_network(0)
    net.load_state_dict(state)
    seed, start = record.document["seed"], record.document["original_seed"]
    _prepare_references(job.config, references, [seed])
    outputs = gather(references, job.config, start, predictions, record.document["costs"])
    metrics = evaluate(missing, outputs, references.problem, net.eval())
    document = copy.deepcopy(record.document)
    document["metrics"].update(metrics)
    document["evaluations"].update({name: per_run[name] for name in missing})
    return write_record(folder, document, predictions, state)


def run_document(
    job: Job,
    problem: UnlearningProblem,
    seed: int,
    metrics: dict[str, float],
    costs: dict[str, Any],
    evaluations: dict[str, Evaluation],
) -> dict[str, Any]:
    """The record of a run: everything a report needs, JSON only."""
    config = job.config
    return {
        "status": "complete",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "problem": {
            "name": problem.name,
            "digest": problem.digest,
            "synthetic": problem.synthetic,
            "task": problem.task.kind,
            "sizes": {name: len(split) for name, split in problem.splits.items()},
            "forget_indices": problem.forget_rows.tolist(),
        },
        "method": {"name": job.choices["method"], "values": job.plain("method")},
        "seed": seed,
        "original_seed": original_seed_of(config, seed),
        "metrics": {key: None if math.isnan(v) else v for key, v in metrics.items()},
        "evaluations": evaluation_digests(job, evaluations),
        "costs": costs,
        "versions": versions(),
        "overrides": list(job.overrides),
        "config": OmegaConf.to_container(config, resolve=True),
    }
