"""How runs are called: in folders, and where they are logged."""

from unlearn.problem import UnlearningProblem
from unlearn.programs.job import Job
from unlearn.tracking.base import RunInfo

NOT_LOGGED = ("paths", "logger")


def problem_folder(problem: UnlearningProblem) -> str:
    """Name of the folder of a problem's runs, and of its report."""
    return f"{problem.name}-{problem.digest[:10]}"


def run_info(job: Job, problem: UnlearningProblem, method: str) -> RunInfo:
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
