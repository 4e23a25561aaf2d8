"""Runs a program's work under Hydra: one line for a user's mistake, a traceback only for ours."""

import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from unlearn.errors import UnsupportedProblem, UserError
from unlearn.programs.console import show_messages
from unlearn.programs.sweeps import JobState
from unlearn.programs.sweeps import note as _note
from unlearn.training.processes import is_first, leave
from unlearn.training.stopping import end_with_parent, leave_cluster, listen

# What states a problem and its reference models on a command line.
PROBLEM = ("dataset", "model", "forget", "recipe", "trainer", "paths", "experiment", "references")
NOT_PROBLEM = ("references.retrained=", "references.missing=")


@dataclass(frozen=True)
class Job:
    """What one start of a program was asked for. Only this module knows how Hydra says it.

    Attributes:
        values: the composed config, resolved, plain.
        choices: option chosen in every config group, such as `dataset: digits`.
        overrides: the command line's overrides.
        sweep: name of the sweep this job belongs to, None for a job of its own.
        config_folders: folders that configs were read from, the project's own among them.
    """

    values: Mapping[str, Any]
    choices: Mapping[str, str]
    overrides: tuple[str, ...] = ()
    sweep: str | None = None
    config_folders: tuple[str, ...] = ()

    @classmethod
    def composed(cls, config: DictConfig, hydra: Any, sweep: str | None = None) -> "Job":
        """The job of a config that Hydra has composed, and of Hydra's own.

        Raises:
            UserError: a value that refers to another one that there is not.
        """
        try:
            values = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            key, why = error.full_key, str(error).splitlines()[0]
            raise UserError(f"{key} cannot be worked out ({why}): give {key}=...") from None
        assert isinstance(values, dict)
        return cls(
            {str(key): value for key, value in values.items() if key != "hydra"},
            {str(group): str(choice) for group, choice in hydra.runtime.choices.items()},
            tuple(hydra.overrides.task),
            sweep,
            tuple(str(s.path) for s in hydra.runtime.config_sources if s.schema == "file"),
        )

    @property
    def problem_overrides(self) -> str:
        """The overrides that state the problem, for a command line that makes its references."""
        kept = [o for o in self.overrides if o.lstrip("+~").split("=")[0].split(".")[0] in PROBLEM]
        kept = [o for o in kept if not o.startswith(NOT_PROBLEM)]
        return " ".join(f"'{o}'" if " " in o else o for o in kept)


Work = Callable[[Job], dict[str, Any]]


class JobFailed(Exception):
    """A job of a sweep failed; its state file says why. Always picklable, unlike some causes."""


def run(work: Work, config: DictConfig) -> dict[str, Any]:
    """Do the work of one job.

    Returns:
        What the work returns; its `ran` counts what was not there before.

    Raises:
        SystemExit: with status 2 after a user's mistake, when this is the only job.
        JobFailed: in a sweep, after the job's state was noted.
    """
    hydra = HydraConfig.get()
    sweeping = hydra.mode == RunMode.MULTIRUN
    show_messages()
    sweep = str(hydra.job.config_name) if sweeping else None

    def composed_work() -> dict[str, Any]:
        return work(Job.composed(config, hydra, sweep))

    if sweeping:
        launcher = str(hydra.launcher.get("_target_", ""))
        return _run_in_sweep(composed_work, Path(hydra.sweep.dir), int(hydra.job.num), launcher)
    try:
        if hydra.runtime.choices.get("hydra/launcher", "basic") != "basic":
            raise UserError(
                f"launcher={hydra.runtime.choices['launcher']} is for sweeps: add -m, or leave it "
                "out to run here"
            )
        result = composed_work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    leave()
    return result


def _run_in_sweep(
    work: Callable[[], dict[str, Any]], folder: Path, number: int, launcher: str
) -> dict[str, Any]:
    """A job of a sweep, in this process, in a worker, or as a SLURM job."""
    note = partial(_note, folder) if is_first() else lambda job: None
    listen()
    if "joblib" in launcher.lower():
        end_with_parent()
    note(JobState(number, "running"))
    try:
        result = work()
    except UnsupportedProblem as error:
        note(JobState(number, "refused", str(error)))
        return {"ran": 0}
    except UserError as error:
        note(JobState(number, "failed", str(error)))
        raise JobFailed(str(error)) from None
    except (KeyboardInterrupt, SystemExit):
        note(JobState(number, "stopped"))
        leave_cluster()
        raise
    except Exception as error:
        kind = f"{type(error).__name__}: {error}".splitlines()[0]
        file = folder / "jobs" / f"{number}.traceback.txt"
        file.write_text(traceback.format_exc())
        note(JobState(number, "failed", kind, str(file)))
        raise JobFailed(kind) from None
    leave()
    note(JobState(number, "done" if result.get("ran") else "skipped"))
    return result
