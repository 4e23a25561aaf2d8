"""Runs a program's work under Hydra: one line for a user's mistake, a traceback only for ours."""

import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from unlearn.distributed import is_first, leave
from unlearn.errors import UnsupportedProblem, UserError
from unlearn.setup import Job
from unlearn.sweep import JobState
from unlearn.sweep import note as _note

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
    job = Job(
        config,
        {str(group): str(choice) for group, choice in hydra.runtime.choices.items()},
        tuple(hydra.overrides.task),
        sweep=str(hydra.job.config_name) if sweeping else None,
    )
    if sweeping:
        return _run_in_sweep(work, job, Path(hydra.sweep.dir), int(hydra.job.num))
    try:
        result = work(job)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    leave()
    return result


def _run_in_sweep(work: Work, job: Job, folder: Path, number: int) -> dict[str, Any]:
    note = partial(_note, folder) if is_first() else lambda job: None
    note(JobState(number, "running"))
    try:
        result = work(job)
    except UnsupportedProblem as error:
        note(JobState(number, "refused", str(error)))
        return {"ran": 0}
    except UserError as error:
        note(JobState(number, "failed", str(error)))
        raise JobFailed(str(error)) from None
    except (KeyboardInterrupt, SystemExit):
        note(JobState(number, "stopped"))
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
