"""Composes what a program will do, once, from its config. Everything below gets objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from unlearn.comparison.published import Preset
from unlearn.comparison.scoring import Resampling
from unlearn.comparison.yardstick import Yardstick
from unlearn.errors import UnsupportedProblem, UserError
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.programs.building import build, typed
from unlearn.programs.composing import compared_with, stated_references, yardstick_of
from unlearn.programs.job import Job
from unlearn.programs.method_choice import MethodChoice, method_values
from unlearn.programs.naming import problem_folder, run_info
from unlearn.programs.options import EvaluateOptions, TrainOptions, UnlearnOptions
from unlearn.programs.preset import preset_of
from unlearn.programs.seeds import CONTROL_SEEDS, MOST_SEED, control_start, seeds_of
from unlearn.storage.references import References, Role
from unlearn.tracking.base import RunInfo, RunLogger

NOT_LOGGED = ("paths", "logger", "published")


@dataclass(frozen=True)
class TrainPlan:
    """Reference models that must be there.

    Attributes:
        references: with the problem, the store and the trainer's settings.
        role: kind of the models.
        seeds: of the models.
        at_once: models trained at once, None = chosen.
        logger: where trainings are logged besides the store.
        folder: of what the logger writes.
        info: how a training of this plan is called in logs.
    """

    references: References
    role: Role
    seeds: Sequence[int]
    at_once: int | None
    logger: RunLogger
    folder: Path
    info: RunInfo


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

    @property
    def drawing_seed(self) -> int:
        """The seed that orders, noise and fresh weights are drawn from."""
        return self.seed + (CONTROL_SEEDS if self.is_control else 0)


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
        preset: what a study published, None without any.
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
    preset: Preset | None

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
        preset: what a study published, None without any.
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
    preset: Preset | None


def plan_training(job: Job) -> TrainPlan:
    """What `train.py` will do.

    Raises:
        UserError: anything wrong with the config.
    """
    options = typed(job.values, TrainOptions)
    seeds = seeds_of(options.seed, options.seeds)
    references = stated_references(job, options)
    references.missing = "train"
    role: Role = "original" if options.role == "original" else "retrained"
    return TrainPlan(
        references,
        role,
        seeds,
        options.at_once,
        logger=build(options.logger, "logger", RunLogger),
        folder=Path(options.paths.runs) / "reference_models",
        info=run_info(job, references.problem, role),
    )


def plan_unlearning(job: Job) -> UnlearnPlan:
    """What `unlearn.py` will do.

    Raises:
        UnsupportedProblem: the method is not made for the problem.
        UserError: anything wrong with the config.
    """
    options = typed(job.values, UnlearnOptions)
    seeds = seeds_of(options.seed, options.seeds)
    make = partial(build, options.method, "method", UnlearningMethod)
    prototype = make()
    values = method_values(options.method, options.augment)
    method = MethodChoice(job.choices["method"], values, make, options.augment)
    references = stated_references(job, options)
    problem = references.problem
    if options.augment and (problem.recipe is None or problem.recipe.augment is None):
        raise UserError(
            "augment=true: the recipe has no augmentation; give another recipe= or augment=false"
        )
    try:
        prototype.check_supports(problem.view(prototype.requires))
        if options.control and prototype.done_elsewhere:
            raise UserError(
                f"control=true: {method.name} reads models that others unlearned; give their "
                "control models to unlearn.api.compare_models(control=...)"
            )
        if options.control:
            problem.control(seeds[0])
    except UserError as error:
        raise UnsupportedProblem(str(error)) from None
    retrained = compared_with(options, references)

    if options.original_seed != "seed" and not 0 <= options.original_seed <= MOST_SEED:
        raise UserError(
            f"original_seed must lie in 0..{MOST_SEED}, or be the word seed; got "
            f"{options.original_seed}"
        )

    def planned(seed: int) -> PlannedRun:
        original = seed if options.original_seed == "seed" else options.original_seed
        role: Role = "retrained" if options.control else "original"
        start = control_start(original) if options.control else original
        # What files hold says which run it is; where they lie says nothing.
        content = prototype.content(seed)
        values = {key: value for key, value in method.values.items() if key not in content}
        what = f"-{canonical_digest(content)[:8]}" if content else ""
        identity: list[Any] = [values, references.settings.precision]
        # Control runs lie beside the runs that they belong to, and say where they started.
        if "original" in references.given:
            identity.append(references.address("original", original).description)
        if options.control and "retrained" in references.given:
            what += f"-{references.address(role, start).code[:8]}"
        folder = (
            Path(options.paths.runs)
            / problem_folder(problem)
            / f"{method.name}-{canonical_digest(identity)[:8]}"
            / f"{'control_' if options.control else ''}{role}{start}_seed{seed}{what}"
        )
        seen = problem.control(seed) if options.control else problem
        return PlannedRun(seed, role, start, seen, folder)

    return UnlearnPlan(
        references=references,
        yardstick=yardstick_of(job, options, references, retrained),
        retrained=retrained,
        method=method,
        runs=[planned(seed) for seed in seeds],
        at_once=options.at_once if options.seeds is not None else 1,
        logger=build(options.logger, "logger", RunLogger),
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
        info=run_info(job, problem, method.name),
        preset=preset_of(job, options, method.name),
    )


def plan_comparison(job: Job) -> EvaluatePlan:
    """What `evaluate.py` will do.

    Raises:
        UserError: anything wrong with the config.
    """
    options = typed(job.values, EvaluateOptions)
    references = stated_references(job, options)
    retrained = compared_with(options, references)
    return EvaluatePlan(
        references=references,
        yardstick=yardstick_of(job, options, references, retrained),
        resampling=options.resampling,
        runs=Path(options.paths.runs),
        report=Path(options.paths.report) / problem_folder(references.problem),
        pictures=options.pictures,
        logger=build(options.logger, "logger", RunLogger),
        overrides=job.overrides,
        info=run_info(job, references.problem, "comparison"),
        preset=preset_of(job, options),
    )
