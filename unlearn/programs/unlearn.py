"""What `unlearn.py` does: plan, resolve references, run, evaluate, record. No method is named."""

import copy
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from typing import Any

from lightning import Callback
from torch import nn

from unlearn.comparison.checks import against_published, run_rows
from unlearn.comparison.groups import reference
from unlearn.comparison.published import Preset
from unlearn.comparison.reference_flags import flags_of_bank
from unlearn.errors import UserError
from unlearn.evals.base import Quantity
from unlearn.files.locks import lock
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView, canonical_digest
from unlearn.programs.console import say
from unlearn.programs.documents import control_of, document_of, listed
from unlearn.programs.job import Job
from unlearn.programs.plan import PlannedRun, UnlearnPlan, plan_unlearning
from unlearn.programs.progress import TrainingProgress
from unlearn.report.terminal import print_published, print_run_table
from unlearn.storage.checkpoints import checkpoints_of
from unlearn.storage.folders import DamagedEntry
from unlearn.storage.making import made_otherwise
from unlearn.storage.predictions import collect
from unlearn.storage.records import (
    RunRecord,
    amend_record,
    heal,
    note_failure,
    read_record,
    write_record,
)
from unlearn.tracking.base import RunInfo, RunLogger
from unlearn.training.bank import fit_bank
from unlearn.training.fit import Costs
from unlearn.training.processes import agree, is_first


def unlearn(job: Job) -> dict[str, Any]:
    """Run the chosen method for one seed or a bank of them, evaluate and record every run.

    Returns:
        Folders of the runs, how many were done now, and the metrics of the last.
    """
    return carry_out(plan_unlearning(job))


def carry_out(plan: UnlearnPlan) -> dict[str, Any]:
    """Do the runs of a plan that are not complete; see `unlearn`."""
    done, todo = _sorted_out(plan, plan.runs)
    if todo:
        _resolve_references(plan, todo)
        # Another process may be at the same run: wait for it, then find it complete.
        with _locked(plan, todo), _failures_noted(todo):
            if not plan.overwrite:
                finished, todo = _sorted_out(plan, todo, locked=True)
                done += finished
            if todo:
                _run(plan, todo)
    if plan.tell:
        for run in done:
            record = _record_of(run)
            other = made_otherwise(record.document, plan.method.source) if record else ""
            say(
                f"seed {run.seed} is complete and skipped (overwrite=true repeats it{other}): "
                f"{run.folder}"
            )
    records = [record for run in plan.runs if (record := _record_of(run)) is not None]
    if plan.table and records:
        rows = _reference_rows(plan)  # by all processes: what the store lacks they make together
        if is_first():
            bank = plan.yardstick.retrained
            warnings = flags_of_bank(bank, plan.original_seeds, plan.yardstick)
            print_run_table(plan.problem, _headline(plan), rows, records, warnings)
            if plan.preset is not None:
                _print_published(plan, plan.preset, rows, records)
    return {
        "folders": [str(run.folder) for run in plan.runs],
        "ran": len(todo),
        "skipped": len(done),
        "metrics": records[-1].document["metrics"] if records else {},
    }


def _sorted_out(
    plan: UnlearnPlan, runs: Sequence[PlannedRun], locked: bool = False
) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """Runs that are complete, and those that are to be done; under their locks, runs that lack an
    evaluation are completed."""
    # Processes agree on seeds: a run holds the problem, which knows its own process.
    done = agree([r.seed for r in runs if not plan.overwrite and _completed(plan, r, locked)])
    return [r for r in runs if r.seed in done], [r for r in runs if r.seed not in done]


def _resolve_references(plan: UnlearnPlan, runs: Sequence[PlannedRun]) -> None:
    originals = sorted({run.start for run in runs if run.role == "original"})
    retrained = sorted({*plan.retrained, *(run.start for run in runs if run.role == "retrained")})
    references = plan.references
    references.require({"original": originals, "retrained": retrained})
    # Members of a bank that was stopped are stacked as the whole bank is.
    references.train_bank("original", originals, plan.at_once, len(plan.original_seeds))
    references.train_bank("retrained", retrained)


@contextmanager
def _locked(plan: UnlearnPlan, runs: Sequence[PlannedRun]) -> Iterator[None]:
    """Hold the locks of runs, and finish what killed processes began there."""
    with ExitStack() as locks:
        for run in sorted(runs, key=lambda run: run.folder) if is_first() else ():
            what = f"seed {run.seed} of {plan.method.name}"
            alone = locks.enter_context(lock(run.folder.parent, run.folder.name, what))
            heal(run.folder, alone)
        agree(None)  # the others look at the runs when the first may
        yield


def _record_of(run: PlannedRun) -> RunRecord | None:
    """The run's record, None where there is none that can be used."""
    try:
        return read_record(run.folder)
    except DamagedEntry:
        return None


@contextmanager
def _failures_noted(runs: Sequence[PlannedRun]) -> Any:
    try:
        yield
    except Exception as error:
        told = str(error) if isinstance(error, UserError) else traceback.format_exc()
        for run in runs:
            if _record_of(run) is None:
                note_failure(run.folder, told)
        raise


def _run(plan: UnlearnPlan, runs: Sequence[PlannedRun]) -> None:
    references, problem, yardstick = plan.references, plan.problem, plan.yardstick
    logger = plan.logger if is_first() else RunLogger()
    logger.prepare()
    by_seed = {run.drawing_seed: run for run in runs}
    views: dict[int, ProblemView] = {}

    def make(seed: int) -> tuple[UnlearningMethod, nn.Module, ProblemView]:
        method = plan.method.make()
        run = by_seed[seed]
        views[seed] = run.problem.view(method.requires, plan.method.augment)
        return method, references.net(run.role, run.start), views[seed]

    def finished(seed: int, method: UnlearningMethod, costs: Costs) -> None:
        run = by_seed[seed]
        costs = Costs.unknown() if method.done_elsewhere else costs
        predictions = collect(
            method.net, problem, problem.splits, references.settings, references.retain_examples
        )
        metrics = yardstick.measure(predictions, asdict(costs), run.original_seed, method.net)
        access = {"requires": list(method.requires), "reads": sorted(views[seed].reads)}
        document = document_of(plan, run, metrics, asdict(costs), access)
        state = dict(method.net.state_dict()) if plan.save_model else None
        write_record(run.folder, document, predictions, state)
        logger.finished(_info(plan, run.seed), document, yardstick.quantities, run.folder)

    def watchers(seed: int) -> list[Callback]:
        run = by_seed[seed]
        words = "a control run of" if run.is_control else "unlearning with"
        title = f"{words} {plan.method.name} (seed {run.seed})"
        logging_it = logger.started(_info(plan, run.seed))
        return [TrainingProgress(title), *logging_it, *yardstick.evaluations.values()]

    try:
        fit_bank(
            make,
            list(by_seed),
            settings=references.settings,
            members=len(plan.runs),
            at_once=plan.at_once,
            finished=finished,
            callbacks=watchers,
            places=lambda stack: checkpoints_of(
                [s if s is None else _identity(plan, by_seed[s]) for s in stack],
                references.store,
                references.settings,
            ),
        )
    except BaseException:
        logger.failed()
        raise


def _identity(plan: UnlearnPlan, run: PlannedRun) -> dict[str, Any]:
    """What a run computes, for its checkpoints: another method, or another version of it, finds
    none of them. So does the same run in another folder, which may be running too."""
    method = plan.method.make()
    return {
        "folder": str(run.folder.absolute()),
        "problem": plan.problem.digest,
        "method": plan.method.name,
        "source": plan.method.source,
        "values": dict(plan.method.values),
        "content": method.content(run.seed),
        "start": plan.references.address(run.role, run.start).description,
        "forgets": canonical_digest(run.problem.forget_rows.tolist()),
        "seed": run.drawing_seed,
    }


def _info(plan: UnlearnPlan, seed: int) -> RunInfo:
    info = plan.info
    return replace(info, name=f"{info.name} seed {seed}", config={**info.config, "seed": seed})


def _completed(plan: UnlearnPlan, run: PlannedRun, locked: bool) -> bool:
    """Whether a run has every evaluation asked for; under its lock, those it lacks are added."""
    if not locked:
        heal(run.folder)
    try:
        record = read_record(run.folder)
        if record is None or not _is_of(record, plan, run):
            return False
        yardstick = plan.yardstick
        kept = record.document["evaluations"]
        _resolve_references(plan, [run])
        missing = {
            n: e for n, e in yardstick.of_runs.items() if kept.get(n) != yardstick.digests[n]
        }
        if not missing:
            return True
        if not locked or not record.has_state:
            return False
        state, predictions = record.state(), record.outputs()
        assert state is not None
        say(f"adding {', '.join(missing)} to the finished run {run.folder}")
        net = plan.problem.fresh_network(0)
        net.load_state_dict(state)
        document = copy.deepcopy(record.document)
        metrics = yardstick.measure(
            predictions, document["costs"], run.original_seed, net.eval(), evaluations=missing
        )
        document["metrics"].update(listed(metrics))
        document["evaluations"].update({name: yardstick.digests[name] for name in missing})
        amend_record(record, document)
        return True
    except DamagedEntry as error:
        if locked:
            say(f"seed {run.seed} is damaged ({error}) and run again: {run.folder}")
        return False


def _is_of(record: RunRecord, plan: UnlearnPlan, run: PlannedRun) -> bool:
    """Whether a record is of the run: another sample of the retain set, or another rule that chose
    the same forget set, make another one."""
    document = record.document
    if (document["seed"], document["problem"]["digest"]) != (run.seed, plan.problem.digest):
        raise DamagedEntry("record.json is of another run", run.folder)
    return document["retain_examples"] == plan.asked["retain_examples"] and document.get(
        "control"
    ) == control_of(run)


def _reference_rows(plan: UnlearnPlan) -> dict[str, list[dict[str, float]]]:
    """The evaluations' numbers of the original and the retrained models themselves."""
    yardstick = plan.yardstick
    originals = [reference(plan.references, "original", seed) for seed in plan.original_seeds]
    return {
        "original": yardstick.of_all(originals),
        "retrained": yardstick.of_all(list(yardstick.retrained)),
    }


def _print_published(
    plan: UnlearnPlan,
    preset: Preset,
    references: Mapping[str, Sequence[Mapping[str, float]]],
    runs: Sequence[RunRecord],
) -> None:
    metrics = [run.document["metrics"] for run in runs]
    quantities = plan.yardstick.quantities
    rows = run_rows(plan.method.name, plan.method.values, references, metrics, quantities)
    print_published(against_published(preset, rows, quantities), quantities)


def _headline(plan: UnlearnPlan) -> dict[str, Quantity]:
    """What the table at the end of a run shows."""
    of_runs = plan.yardstick.of_runs
    return {
        key: quantity
        for key, quantity in plan.yardstick.quantities.items()
        if quantity.headline and key.split("/")[0] in of_runs
    }
