"""Composes what a program will do, once, from its config. Everything below gets objects."""

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from unlearn.comparison.groups import Member, reference
from unlearn.comparison.scoring import Resampling
from unlearn.comparison.yardstick import Yardstick
from unlearn.data.tables import Table
from unlearn.datasets.base import Dataset
from unlearn.errors import UnsupportedProblem, UserError
from unlearn.evals.base import Evaluation
from unlearn.methods.base import UnlearningMethod
from unlearn.models.weights import weight_files
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.programs.building import build, typed
from unlearn.programs.console import say_once
from unlearn.programs.job import Job
from unlearn.programs.options import Common, EvaluateOptions, Seeds, TrainOptions, UnlearnOptions
from unlearn.programs.progress import TrainingProgress
from unlearn.storage.references import References, Role
from unlearn.storage.store import Store
from unlearn.tracking.base import RunInfo, RunLogger
from unlearn.training import processes
from unlearn.training.trainer import TrainerSettings

KEPT_IN_MEMORY = 2  # datasets and problems that the jobs of a sweep share in one process
NOT_LOGGED = ("paths", "logger")

_datasets: OrderedDict[str, tuple[Dataset, dict[str, Table], str]] = OrderedDict()
_problems: OrderedDict[str, UnlearningProblem] = OrderedDict()
_references: OrderedDict[str, References] = OrderedDict()


@dataclass(frozen=True)
class TrainPlan:
    """Reference models that must be there."""

    references: References
    role: Role
    seeds: Sequence[int]
    at_once: int | None


@dataclass(frozen=True)
class MethodChoice:
    """A method with its values.

    Attributes:
        name: of its config.
        values: of its config.
        make: a new one.
    """

    name: str
    values: Mapping[str, Any]
    make: Callable[[], UnlearningMethod]


@dataclass(frozen=True)
class PlannedRun:
    """One unlearning run.

    Attributes:
        seed: of the run.
        role: kind of the model it starts from; retrained for control runs.
        start: seed of that model.
        problem: what its method sees; of a control run not the problem it is evaluated on.
        folder: where its record goes.
    """

    seed: int
    role: Role
    start: int
    problem: UnlearningProblem
    folder: Path

    @property
    def is_control(self) -> bool:
        """Whether it forgets another set, from a model that never saw the forget set."""
        return self.role == "retrained"

    @property
    def original_seed(self) -> int | None:
        """Seed of the original model it starts from, None for control runs."""
        return None if self.is_control else self.start


@dataclass(frozen=True)
class UnlearnPlan:
    """Runs of one method.

    Attributes:
        references: reference models, with the problem, the store and the trainer's settings.
        yardstick: evaluations and what runs are compared with.
        retrained: seeds of the retrained models among that.
        method: what unlearns.
        runs: one a seed.
        at_once: models unlearned at once, None = chosen.
        logger: where runs are logged besides their records.
        overwrite: repeat runs that are complete.
        save_model: keep unlearned weights.
        table: print a table at the end.
        tell: say which runs were skipped.
        asked: what the user asked for, for records.
        info: how a run of this plan is called in logs.
    """

    references: References
    yardstick: Yardstick
    retrained: Sequence[int]
    method: MethodChoice
    runs: Sequence[PlannedRun]
    at_once: int | None
    logger: RunLogger
    overwrite: bool
    save_model: bool
    table: bool
    tell: bool
    asked: Mapping[str, Any]
    info: RunInfo

    @property
    def problem(self) -> UnlearningProblem:
        return self.references.problem

    @cached_property
    def original_seeds(self) -> list[int]:
        """Seeds of the original models that the runs start from."""
        return sorted({run.original_seed for run in self.runs if run.original_seed is not None})


@dataclass(frozen=True)
class EvaluatePlan:
    """A comparison of all runs of a problem.

    Attributes:
        references: reference models, with the problem and the store.
        yardstick: evaluations and what runs are compared with.
        resampling: replicates and level.
        runs: folder of all runs.
        report: folder of the report.
        pictures: draw them.
        logger: where the comparison is logged.
        overrides: words of the command line.
        info: how the comparison is called in logs.
    """

    references: References
    yardstick: Yardstick
    resampling: Resampling
    runs: Path
    report: Path
    pictures: bool
    logger: RunLogger
    overrides: Sequence[str]
    info: RunInfo


def plan_training(job: Job) -> TrainPlan:
    """What `train.py` will do.

    Raises:
        UserError: anything wrong with the config.
    """
    options = typed(job.values, TrainOptions)
    seeds = seeds_of(options.seed, options.seeds)
    references = _references_of(job, options)
    references.missing = "train"
    role: Role = "original" if options.role == "original" else "retrained"
    return TrainPlan(references, role, seeds, options.at_once)


def plan_unlearning(job: Job) -> UnlearnPlan:
    """What `unlearn.py` will do.

    Raises:
        UnsupportedProblem: the method is not made for the problem.
        UserError: anything wrong with the config.
    """
    options = typed(job.values, UnlearnOptions)
    seeds = seeds_of(options.seed, options.seeds)
    method = MethodChoice(
        job.choices["method"], options.method, partial(build, options.method, "method")
    )
    prototype = method.make()
    references = _references_of(job, options)
    problem = references.problem
    try:
        prototype.check_supports(problem.view(prototype.requires))
        if options.control:
            problem.control(seeds[0])
    except UserError as error:
        raise UnsupportedProblem(str(error)) from None
    retrained = _compared_with(options, references)

    def planned(seed: int) -> PlannedRun:
        original = seed if options.original_seed == "seed" else options.original_seed
        role: Role = "retrained" if options.control else "original"
        start = control_start(original) if options.control else original
        # What files hold says which run it is; where they lie says nothing.
        content = prototype.content(seed)
        values = {key: value for key, value in options.method.items() if key not in content}
        what = f"-{canonical_digest(content)[:8]}" if content else ""
        identity: list[Any] = [values, references.settings.precision]
        if role in references.given:
            identity.append(references.address(role, start).description)
        folder = (
            Path(options.paths.runs)
            / f"{problem.name}-{problem.digest[:10]}"
            / f"{method.name}-{canonical_digest(identity)[:8]}"
            / f"{'control_' if options.control else ''}{role}{start}_seed{seed}{what}"
        )
        seen = problem.control(seed) if options.control else problem
        return PlannedRun(seed, role, start, seen, folder)

    return UnlearnPlan(
        references=references,
        yardstick=_yardstick(job, options, references, retrained),
        retrained=retrained,
        method=method,
        runs=[planned(seed) for seed in seeds],
        at_once=options.at_once if options.seeds is not None else 1,
        logger=build(options.logger, "logger"),
        overwrite=options.overwrite,
        save_model=options.save_model,
        # A sweep prints one summary, not a table a job.
        table=job.sweep is None if options.table is None else options.table,
        tell=job.sweep is None,
        asked={
            "overrides": list(job.overrides),
            "config": job.values,
            "retain_examples": options.outputs.retain_examples,
        },
        info=_run_info(job, problem, method.name),
    )


def plan_comparison(job: Job) -> EvaluatePlan:
    """What `evaluate.py` will do.

    Raises:
        UserError: anything wrong with the config.
    """
    options = typed(job.values, EvaluateOptions)
    references = _references_of(job, options)
    retrained = _compared_with(options, references)
    return EvaluatePlan(
        references=references,
        yardstick=_yardstick(job, options, references, retrained),
        resampling=options.resampling,
        runs=Path(options.paths.runs),
        report=Path(options.paths.report),
        pictures=options.pictures,
        logger=build(options.logger, "logger"),
        overrides=job.overrides,
        info=_run_info(job, references.problem, "comparison"),
    )


def control_start(original: int) -> int:
    """The retrained model that takes an original's place in a control run: every second one, so
    that the others are left for comparisons with models that no control run started from."""
    return 2 * original + 1


def seeds_of(seed: int, seeds: Seeds) -> list[int]:
    """Seeds of a job: a count `n` means 0..n-1, a list means itself, None the single seed.

    Raises:
        UserError: no seed, a negative or a repeated one.
    """
    if seeds is None:
        chosen, name = [seed], "seed"
    else:
        chosen, name = list(range(seeds)) if isinstance(seeds, int) else list(seeds), "seeds"
    if not chosen or min(chosen) < 0 or max(chosen) > MOST_SEED:
        raise UserError(
            f"{name} must be a count or a list of seeds such as [0,3,7], none below 0 or above "
            f"{MOST_SEED}; got {seed if seeds is None else seeds}"
        )
    if len(set(chosen)) < len(chosen):
        raise UserError(f"{name} lists a seed twice: {chosen}")
    return chosen


MOST_SEED = 2**31 - 1


def settings_of(job: Job) -> TrainerSettings:
    """Device and precision."""
    settings: TrainerSettings = build(job.values["trainer"], "trainer")
    processes.check(settings.devices, settings.num_nodes)
    return settings


def problem_of(job: Job) -> UnlearningProblem:
    """The problem that a config states; jobs of one process share it.

    Raises:
        UserError: anything wrong with dataset, forget set, model or recipe.
    """
    groups = {group: job.values[group] for group in ("dataset", "forget", "model", "recipe")}
    key = canonical_digest(groups)
    if key not in _problems:
        _remember(_problems, key, _build_problem(job, groups))
    problem = _problems[key]
    settings = settings_of(job)
    problem.loader_options = {
        "resident_bytes": settings.resident_gb * 1e9,
        "workers": settings.workers,
    }
    problem.share = processes.share()
    return problem


def _build_problem(job: Job, groups: dict[str, dict[str, Any]]) -> UnlearningProblem:
    # Checked first: a wrong value must not cost the user the wait for the data.
    recipe = build(groups["recipe"], "recipe")
    forget = build(groups["forget"], "forget")
    key = json.dumps(groups["dataset"], sort_keys=True)
    if key not in _datasets:
        dataset: Dataset = build(groups["dataset"], "dataset")
        tables = dataset.load()
        _remember(_datasets, key, (dataset, tables, dataset.content_id(tables)))
    dataset, tables, content_id = _datasets[key]
    train = tables["train"]
    stored = train.images.shape
    shape = {
        "in_channels": int(stored[1]),
        "image_size": int(train.transform.size or stored[-1]),
        "num_outputs": dataset.task.num_outputs,
    }
    return UnlearningProblem(
        tables=tables,
        task=dataset.task,
        forget=forget,
        build_network=partial(build, groups["model"], "model", **shape),
        recipe=recipe,
        description={
            "model": {**groups["model"], **shape},
            "recipe": groups["recipe"],
            "task": [dataset.task.kind, dataset.task.criterion_name, dataset.task.class_weights],
        },
        content_id=content_id,
        name="_".join(job.choices[group] for group in ("dataset", "model", "forget")),
        short_name=f"{job.choices['dataset']}_{job.choices['model']}",
        synthetic=dataset.synthetic,
    )


def _references_of(job: Job, options: Common) -> References:
    """Reference models of the problem; jobs of one process share what was read."""
    problem, settings = problem_of(job), settings_of(job)
    asked = options.references
    given = {
        role: weight_files(pattern, f"references.{key}")
        for role, key, pattern in (
            ("original", "original_file", asked.original_file and [asked.original_file]),
            ("retrained", "retrained_files", asked.retrained_files),
        )
        if pattern
    }
    key = canonical_digest(
        [
            problem.digest,
            options.paths.store,
            settings.precision,
            options.outputs.retain_examples,
            {role: [file.digest for file in files] for role, files in given.items()},
        ]
    )
    if key not in _references:
        references = References(
            problem,
            Store(options.paths.store),
            settings,
            retain_examples=options.outputs.retain_examples,
            watch=lambda title: [TrainingProgress(title)],
            given=given,  # type: ignore[arg-type]
        )
        _remember(_references, key, references)
    references = _references[key]
    references.missing = asked.missing
    references.command = job.problem_overrides
    return references


def references_of(job: Job, program: type[Common] = UnlearnOptions) -> References:
    """The reference models that a job's config states."""
    return _references_of(job, typed(job.values, program))


def _compared_with(options: Common, references: References) -> list[int]:
    """Seeds of the retrained models that single runs are compared with: all that there are, and
    as many as `references.retrained` says at least."""
    return sorted({*range(options.references.retrained), *references.bank("retrained")})


def _yardstick(
    job: Job,
    options: Common,
    references: References,
    retrained: Sequence[int],
) -> Yardstick:
    shared = options.outputs.retain_examples
    evaluations = evaluations_of(job, references.problem)
    return Yardstick(
        references.problem,
        evaluations,
        {name: [job.values["eval"][name], shared] for name in evaluations},
        _Members(references, "retrained", retrained),
        partial(reference, references, "original"),
        references.store,
    )


class _Members(Sequence[Member]):
    """Reference models that are looked up, and trained where missing, when they are asked for."""

    def __init__(self, references: References, role: Role, seeds: Sequence[int]):
        self.references, self.role, self.seeds = references, role, seeds
        self._found: dict[int, Member] = {}

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        seed = self.seeds[position]
        if seed not in self._found:
            self._found[seed] = reference(self.references, self.role, seed)
        return self._found[seed]


def evaluations_of(job: Job, problem: UnlearningProblem) -> dict[str, Evaluation]:
    """The chosen evaluations by name.

    Of a preset, such as `eval=standard`, those that are not defined for the task are left out,
    and a line says so.

    Raises:
        UserError: an evaluation asked for by its own name is not defined for the task.
    """
    defined, left_out = {}, []
    for name, config in job.values["eval"].items():
        evaluation: Evaluation = build(config, f"eval.{name}")
        if evaluation.supports(problem):
            defined[str(name)] = evaluation
        elif re.search(rf"\b{name}\b", job.choices["eval"]):
            raise UserError(
                f"eval.{name} is defined for {' and '.join(evaluation.tasks)}, and this dataset's "
                f"task is {problem.task.kind}: leave it out of eval="
            )
        else:
            left_out.append(str(name))
    if left_out:
        say_once(f"not defined for {problem.task.kind}, so left out: {', '.join(left_out)}")
    return defined


def _run_info(job: Job, problem: UnlearningProblem, method: str) -> RunInfo:
    """How runs of a job are called where they are logged; the name gets their seed."""
    return RunInfo(
        name=method,
        method=method,
        group=job.sweep or problem.name,
        tags=tuple(job.choices[group] for group in ("dataset", "model", "forget")),
        config={
            **{key: value for key, value in job.values.items() if key not in NOT_LOGGED},
            "choices": {k: v for k, v in job.choices.items() if "/" not in k},
            "problem_digest": problem.digest,
        },
    )


def _remember(cache: OrderedDict[str, Any], key: str, value: Any) -> None:
    cache[key] = value
    while len(cache) > KEPT_IN_MEMORY:
        cache.popitem(last=False)
