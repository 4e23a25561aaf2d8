"""From a composed Hydra config to objects: problem, references, evaluations."""

import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from unlearn import distributed
from unlearn.configuration import build
from unlearn.datasets.base import Dataset, Table
from unlearn.errors import UserError
from unlearn.evals.base import Evaluation
from unlearn.problem import UnlearningProblem, canonical_digest
from unlearn.progress import TrainingProgress, say_once
from unlearn.references import References
from unlearn.store import Store
from unlearn.trainer import TrainerSettings

KEPT_IN_MEMORY = 2  # datasets and problems that the jobs of a sweep share in one process

_datasets: OrderedDict[str, tuple[Dataset, dict[str, Table], str]] = OrderedDict()
_problems: OrderedDict[str, UnlearningProblem] = OrderedDict()
_references: OrderedDict[str, References] = OrderedDict()


@dataclass(frozen=True)
class Job:
    """A composed config and what the user chose.

    Attributes:
        config: the composed primary config.
        choices: option chosen in every config group, such as `dataset: digits`.
        overrides: the command line's overrides.
        sweep: name of the sweep this job belongs to, None for a job of its own.
    """

    config: DictConfig
    choices: dict[str, str]
    overrides: tuple[str, ...] = ()
    sweep: str | None = None

    def plain(self, group: str) -> dict[str, Any]:
        """A group's resolved values."""
        values = OmegaConf.to_container(self.config[group], resolve=True)
        assert isinstance(values, dict)
        return {str(key): value for key, value in values.items()}

    @property
    def problem_overrides(self) -> str:
        """The overrides that state the problem, for a command line that makes its references."""
        groups = ("dataset", "model", "forget", "recipe", "trainer", "paths", "experiment")
        kept = [o for o in self.overrides if o.lstrip("+~").split("=")[0].split(".")[0] in groups]
        return " ".join(f"'{o}'" if " " in o else o for o in kept)


def settings_of(job: Job) -> TrainerSettings:
    """Device and precision."""
    settings: TrainerSettings = build(job.config.trainer, "trainer")
    distributed.check(settings.devices, settings.num_nodes)
    return settings


def problem_of(job: Job) -> UnlearningProblem:
    """The problem that a config states; jobs of one process share it.

    Raises:
        UserError: anything wrong with dataset, forget set, model or recipe.
    """
    groups = {group: job.plain(group) for group in ("dataset", "forget", "model", "recipe")}
    key = canonical_digest(groups)
    if key not in _problems:
        _remember(_problems, key, _build_problem(job, groups))
    problem = _problems[key]
    settings = settings_of(job)
    problem.loader_options = {
        "resident_bytes": settings.resident_gb * 1e9,
        "workers": settings.workers,
    }
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


def references_of(job: Job, problem: UnlearningProblem, settings: TrainerSettings) -> References:
    """Reference models of the problem; jobs of one process share what was read."""
    config = job.config
    own = config.references.original_file
    key = canonical_digest(
        [
            problem.digest,
            config.paths.store,
            settings.precision,
            config.outputs.retain_examples,
            config.references.original_file,
        ]
    )
    if key not in _references:
        references = References(
            problem,
            Store(config.paths.store),
            settings,
            retain_examples=config.outputs.retain_examples,
            watch=lambda title: [TrainingProgress(title)],
            original_file=own and Path(own),
        )
        _remember(_references, key, references)
    references = _references[key]
    references.missing = config.references.missing
    references.command = job.problem_overrides
    return references


def evaluations_of(job: Job, problem: UnlearningProblem) -> dict[str, Evaluation]:
    """The chosen evaluations by name.

    Of a preset, such as `eval=standard`, those that are not defined for the task are left out,
    and a line says so.

    Raises:
        UserError: an evaluation asked for by its own name is not defined for the task.
    """
    chosen, left_out = {}, []
    for name, config in job.config.eval.items():
        evaluation: Evaluation = build(config, f"eval.{name}")
        if evaluation.supports(problem):
            chosen[str(name)] = evaluation
        elif re.search(rf"\b{name}\b", job.choices["eval"]):
            raise UserError(
                f"eval.{name} is defined for {' and '.join(evaluation.tasks)}, and this dataset's "
                f"task is {problem.task.kind}: leave it out of eval="
            )
        else:
            left_out.append(str(name))
    if left_out:
        say_once(f"not defined for {problem.task.kind}, so left out: {', '.join(left_out)}")
    return chosen


def seeds_of(value: Any, name: str = "seeds") -> list[int]:
    """Seeds from YAML: a count `n` means 0..n-1, a list means itself.

    Raises:
        UserError: neither, or a negative or repeated seed.
    """
    seeds = list(range(value)) if isinstance(value, int) else value
    if isinstance(seeds, ListConfig):
        seeds = list(seeds)
    valid = isinstance(seeds, Sequence) and not isinstance(seeds, str)
    if not valid or not seeds or not all(isinstance(s, int) and s >= 0 for s in seeds):
        raise UserError(f"{name} must be a count or a list of seeds such as [0,3,7], got {value!r}")
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{name} lists a seed twice: {list(seeds)}")
    return list(seeds)


def original_seed_of(config: Any, seed: int) -> int:
    """Which original model a run starts from: `original_seed=seed` gives every run its own.

    Raises:
        UserError: neither a number nor the word.
    """
    chosen = config.original_seed
    if chosen == "seed":
        return seed
    if not isinstance(chosen, int) or chosen < 0:
        raise UserError(
            "original_seed must be a number, or the word seed for an original model of every "
            f"run's own seed; got {chosen!r}"
        )
    return chosen


def _remember(cache: OrderedDict[str, Any], key: str, value: Any) -> None:
    cache[key] = value
    while len(cache) > KEPT_IN_MEMORY:
        cache.popitem(last=False)
