"""Hydra's submitit launcher for SLURM, patient with jobs that are cancelled, killed or requeued."""

import contextlib
import copy
import io
import shlex
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher

PLACE = Path(__file__).resolve().parents[2]
# Looks at the queue before a job that has left it without a result counts as lost: its result may
# take a moment to cross a network file system.
LOOKS = 3


class PatientSlurmLauncher(SlurmLauncher):
    """Submits one array, waits until every job has ended one way or another.

    The plain launcher raises at the first job without a result and forgets the others. A job that
    SLURM requeues (preempted, timed out, node lost) stays in the queue and is waited for.
    """

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        import submitit

        from unlearn.errors import UserError
        from unlearn.programs.console import say
        from unlearn.programs.sweeps import FINAL, JobState, note, read_state

        assert self.config is not None
        params = dict(self.params)
        params["setup"] = [*(params.get("setup") or []), *import_path()]
        executor = submitit.AutoExecutor(
            cluster="slurm",
            folder=params.pop("submitit_folder"),
            slurm_max_num_timeout=params.pop("max_num_timeout"),
        )
        shared = {"timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb"}
        shared |= {"nodes", "name", "stderr_to_stdout"}
        executor.update_parameters(
            **{key if key in shared else f"slurm_{key}": value for key, value in params.items()}
        )
        folder = Path(self.config.hydra.sweep.dir)
        numbers = list(range(initial_job_idx, initial_job_idx + len(job_overrides)))
        for number, why in self._refused(job_overrides, initial_job_idx).items():
            note(folder, JobState(number, "refused", why))
            numbers.remove(number)
        if not numbers:
            return []
        job_overrides = [job_overrides[number - initial_job_idx] for number in numbers]
        state = Singleton.get_state()
        arguments = [
            (list(overrides), "hydra.sweep.dir", number, str(number), state)
            for number, overrides in zip(numbers, job_overrides, strict=True)
        ]
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
                jobs = executor.map_array(self, *zip(*arguments, strict=True))
        except submitit.core.utils.FailedJobError as error:
            raise UserError(why_refused(str(error))) from error
        array = jobs[0].job_id.split("_")[0]
        say(f"{len(jobs)} jobs are in the SLURM queue as {array}; scancel {array} ends them all")
        try:
            lost = wait({job.job_id: job.paths.result_pickle for job in jobs})
        except KeyboardInterrupt:
            say(f"the jobs stay in the queue and go on without this terminal: squeue -j {array}")
            raise
        for number, job in zip(numbers, jobs, strict=True):
            noted = read_state(folder, number)
            if job.job_id in lost and (noted is None or noted.state not in FINAL):
                why = f"{lost[job.job_id]}; log: {job.paths.stderr}"
                note(folder, JobState(number, "failed", why))
        return []

    def _refused(self, jobs: Sequence[Sequence[str]], first: int) -> dict[int, str]:
        """Jobs whose method is not made for their problem, by number, and why. Jobs with other
        mistakes, or whose plan cannot be made on this machine, are submitted and say so themselves.
        """
        from unlearn.errors import UnsupportedProblem, UserError
        from unlearn.programs.console import say_once
        from unlearn.programs.job import Job
        from unlearn.programs.plan import plan_unlearning

        assert self.config is not None and self.hydra_context is not None
        found: dict[int, str] = {}
        for number, overrides in enumerate(jobs, start=first):
            loader = self.hydra_context.config_loader
            config = copy.deepcopy(loader).load_sweep_config(self.config, list(overrides))
            if "method" not in config:
                continue
            try:
                plan_unlearning(Job.composed(config, config.hydra, str(config.hydra.job.name)))
            except UnsupportedProblem as error:
                found[number] = str(error)
            except UserError:
                continue
            except Exception as error:  # such as what this machine lacks and the nodes have
                why = f"{type(error).__name__}: {error}".splitlines()[0]
                say_once(f"jobs are submitted without a look at their plan here ({why})")
        return found


def why_refused(told: str) -> str:
    """What sbatch said, in one line, with the settings that may mend it."""
    lines = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in told.splitlines()]
    what = "; ".join(line.strip() for line in lines if line.strip()) or "no reason given"
    settings = {
        "partition": ("partition",),
        "account": ("account", "partition"),
        "qos": ("qos",),
        "time limit": ("timeout_min", "partition"),
        "memory": ("mem_gb",),
        "node configuration": ("mem_gb", "cpus_per_task", "gpus_per_node", "nodes", "partition"),
        "cpu count": ("cpus_per_task",),
        "gres": ("gpus_per_node",),
    }
    named = next((names for word, names in settings.items() if word in what.lower()), ())
    hint = " or ".join(f"hydra.launcher.{name}" for name in named)
    return f"sbatch refused the jobs: {what}" + (f"; set {hint}" if hint else "")


def import_path(place: Path = PLACE) -> list[str]:
    """Shell lines with which jobs import this project from a checkout, wherever they start.

    Jobs run the same interpreter, which finds an installed package by itself; putting all of its
    site-packages before the standard library would be wrong.
    """
    if not (place / "pyproject.toml").is_file():
        return []
    return [f"export PYTHONPATH={shlex.quote(str(place))}${{PYTHONPATH:+:$PYTHONPATH}}"]


def wait(results: dict[str, Path]) -> dict[str, str]:
    """Wait for jobs by id until each has its result file or has left the queue.

    Returns:
        Why each job without a result ended, by id.
    """
    pending, lost = dict(results), {}
    missed = dict.fromkeys(results, 0)
    begin = time.monotonic()
    while pending:
        time.sleep(min(10.0, 0.5 + (time.monotonic() - begin) / 20))
        for name in [name for name, file in pending.items() if file.exists()]:
            del pending[name]
        queued = in_queue({name.split("_")[0] for name in pending})
        if queued is None:  # the controller does not answer: ask again
            continue
        for name in list(pending):
            missed[name] = 0 if name in queued else missed[name] + 1
            if missed[name] >= LOOKS and not pending[name].exists():
                lost[name] = how_it_ended(name)
                del pending[name]
    return lost


def in_queue(arrays: Iterable[str]) -> set[str] | None:
    """Ids of jobs of these arrays that SLURM still means to finish, None without an answer."""
    found: set[str] = set()
    for array in arrays:
        told = _ask("squeue", "-h", "-r", "-j", array, "-o", "%i|%T")
        if told is None:
            # squeue forgets a finished job id and calls it invalid.
            if _ask("sinfo", "-h") is None:
                return None
            continue
        rows = (line.split("|") for line in told.splitlines() if "|" in line)
        ended = ("CANCELLED", "FAILED", "COMPLETED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        found |= {name.strip() for name, state in rows if state.strip() not in ended}
    return found


def how_it_ended(name: str) -> str:
    """SLURM's word for the end of a job, without needing its accounting database."""
    told = dict(
        word.split("=", 1)
        for word in (_ask("scontrol", "-o", "show", "job", name) or "").split()
        if "=" in word
    )
    state, code = told.get("JobState", "ended"), told.get("ExitCode", "")
    return f"SLURM job {name} {state}" + (f" (exit code {code})" if code else "")


def _ask(*command: str) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
