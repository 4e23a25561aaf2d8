"""Many jobs under one command: what became of each, a line of progress, the exit status.

Every job of a sweep notes its state in a file of its own, wherever it runs: in this process, in a
worker, on another machine. The process that started the sweep only reads these files.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from unlearn.programs.console import QUIET_SECONDS, console, is_live, say

State = Literal["running", "done", "skipped", "refused", "failed", "stopped"]
FINAL = ("done", "skipped", "refused", "failed")
LIVE_SECONDS = 5.0
NAMED = 3  # jobs that are named where several ended with the same error


@dataclass(frozen=True)
class JobState:
    """What became of one job.

    Attributes:
        number: of the job in its sweep, from 0.
        state: `done` now, `skipped` because its record is complete, `refused` because the method
            is not made for the problem, `failed`, `stopped` by the user, or still `running`.
        error: one line, for `refused` and `failed`.
        traceback: file with the traceback of an error that is no user's mistake.
    """

    number: int
    state: State
    error: str = ""
    traceback: str = ""


def note(folder: Path, job: JobState) -> None:
    """Write a job's state below the sweep's folder, whole or not at all."""
    file = _file(folder, job.number)
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(json.dumps(asdict(job), indent=1))
    aside.rename(file)


def read_state(folder: Path, number: int) -> JobState | None:
    """A job's state, None where it has not started."""
    try:
        return JobState(**json.loads(_file(folder, number).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _file(folder: Path, number: int) -> Path:
    return folder / "jobs" / f"{number}.json"


class Sweep:
    """One start of a sweep, seen from the process that started it.

    Args:
        folder: of this start, where jobs note their states.
        labels: what each job was asked to do, such as `method=ssd seed=1`.
    """

    def __init__(self, folder: Path, labels: Sequence[str]):
        self.folder, self.labels = folder, list(labels)
        self.started = time.monotonic()
        self._final: dict[int, JobState] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Sweep":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def states(self) -> dict[int, JobState]:
        """States of the jobs that have started; a final one is read from disk only once."""
        found = dict(self._final)
        for number in range(len(self.labels)):
            state = found.get(number) or read_state(self.folder, number)
            if state is not None:
                found[number] = state
                if state.state in FINAL:
                    self._final[number] = state
        return found

    def line(self) -> str:
        """Progress in one line: done, skipped, failed, running, expected end."""
        states = list(self.states().values())
        counts = Counter(job.state for job in states)
        parts = [f"{counts['done']} of {len(self.labels)} done"]
        others: tuple[State, ...] = ("skipped", "refused", "failed", "stopped", "running")
        parts += [f"{counts[state]} {state}" for state in others if counts[state]]
        worked = counts["done"] + counts["failed"]
        left = len(self.labels) - sum(job.state in FINAL for job in states)
        text = "sweep: " + ", ".join(parts)
        if worked and left:
            seconds = (time.monotonic() - self.started) / worked * left
            end = datetime.now() + timedelta(seconds=seconds)
            text += f"; expected end {end:%H:%M}" + (f" on {end:%d %b}" if seconds > 8e4 else "")
        return text

    def _watch(self) -> None:
        last = ""
        while not self._end.wait(LIVE_SECONDS if is_live() else QUIET_SECONDS):
            line = self.line()
            if line != last:
                console.print(line, highlight=False, style="bold")
                last = line

    def close(self) -> int:
        """Print what became of the jobs.

        Returns:
            The exit status: 0 where every job is done, skipped or refused.
        """
        states = self.states()
        say(self.line())
        alike: dict[tuple[str, str], list[JobState]] = {}
        for _, job in sorted(states.items()):
            if job.state in ("refused", "failed"):
                alike.setdefault((job.state, job.error), []).append(job)
        for (state, error), jobs in alike.items():
            who = "; ".join(self.labels[job.number] for job in jobs[:NAMED])
            more = f"; and {len(jobs) - NAMED} more" if len(jobs) > NAMED else ""
            say(f"  {state}: {who}{more}: {error}")
            for job in jobs[:NAMED]:
                if job.traceback:
                    say(f"    traceback: {job.traceback}")
        if all(states.get(n) and states[n].state in FINAL for n in range(len(self.labels))):
            failed = any(job.state == "failed" for job in states.values())
        else:
            failed = True
        if failed:
            say("the same command again runs what is missing and skips what is complete")
        return int(failed)
