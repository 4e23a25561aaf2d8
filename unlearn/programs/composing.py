"""From config groups to objects: problem, trainer, reference models, evaluations."""

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

from unlearn.comparison.groups import Member, reference
from unlearn.comparison.yardstick import Yardstick
from unlearn.data.tables import Table
from unlearn.datasets.base import Dataset
from unlearn.errors import UserError
from unlearn.evals.base import Evaluation
from unlearn.forget_sets.base import ForgetRule
from unlearn.models.weights import weight_files
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.programs.building import build, check_parts, typed
from unlearn.programs.console import say_once
from unlearn.programs.job import Job
from unlearn.programs.options import Common, UnlearnOptions
from unlearn.programs.progress import TrainingProgress
from unlearn.recipes.recipe import Recipe
from unlearn.storage.references import References, Role
from unlearn.storage.store import Store
from unlearn.training import processes
from unlearn.training.trainer import TrainerSettings

KEPT_IN_MEMORY = 2  # datasets and problems that the jobs of a sweep share in one process

_datasets: OrderedDict[str, tuple[Dataset, dict[str, Table], str]] = OrderedDict()
_problems: OrderedDict[str, UnlearningProblem] = OrderedDict()
_references: OrderedDict[str, References] = OrderedDict()


def settings_of(job: Job) -> TrainerSettings:
    """Device and precision."""
    settings: TrainerSettings = build(job.values["trainer"], "trainer", TrainerSettings)
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
    recipe: Recipe = build(groups["recipe"], "recipe", Recipe)
    forget: ForgetRule = build(groups["forget"], "forget", ForgetRule)
    key = json.dumps(groups["dataset"], sort_keys=True)
    if key not in _datasets:
        dataset: Dataset = build(groups["dataset"], "dataset", Dataset)
        tables = dataset.load()
        _remember(_datasets, key, (dataset, tables, dataset.content_id(tables)))
    dataset, tables, content_id = _datasets[key]
    train = tables["train"]
    recipe.check_images(train.images[:1])
    stored = train.images.shape
    shape = {
        "in_channels": int(stored[1]),
        "image_size": int(train.transform.size or stored[-1]),
        "num_outputs": dataset.task.num_outputs,
    }
    check_parts(groups["model"], "model", shape)
    return UnlearningProblem(
        tables=tables,
        task=dataset.task,
        forget=forget,
        build_network=partial(build, groups["model"], "model", nn.Module, **shape),
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


def stated_references(job: Job, options: Common) -> References:
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
    return stated_references(job, typed(job.values, program))


def compared_with(options: Common, references: References) -> list[int]:
    """Seeds of the retrained models that single runs are compared with: all that there are, and
    as many as `references.retrained` says at least."""
    return sorted({*range(options.references.retrained), *references.bank("retrained")})


def yardstick_of(
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
            self.references.train_bank(self.role, self.seeds)  # together, where any are missing
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
        evaluation: Evaluation = build(config, f"eval.{name}", Evaluation)
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


def _remember(cache: OrderedDict[str, Any], key: str, value: Any) -> None:
    cache[key] = value
    while len(cache) > KEPT_IN_MEMORY:
        cache.popitem(last=False)
