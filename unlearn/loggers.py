"""Where a run is logged besides its record: nowhere, in CSV files, or (`wandb_logger`) in wandb."""

import csv
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer

from unlearn.evals.base import Quantity
from unlearn.methods.base import UnlearningMethod

if TYPE_CHECKING:
    from unlearn.report.results import ComparisonReport

FLUSH_SECONDS = 1.0  # reading losses waits for the device, so not oftener than this
SECRET = re.compile(r"api_?key|token|secret|password|credential", re.IGNORECASE)
ABSOLUTE = re.compile(r"(?<![\w.$}~/-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\",\]\[{}]+[/\\])*")


class Loss(NamedTuple):
    """The loss of one optimizer step."""

    step: int
    phase: str
    value: float


@dataclass(frozen=True)
class RunInfo:
    """What is known about a run before it starts.

    Attributes:
        name: readable and stable.
        method: name of the method.
        group: of runs that belong together.
        tags: words to filter by.
        config: everything that was asked for, resolved.
    """

    name: str
    method: str
    group: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]


class RunLogger:
    """Logs nothing; what other loggers do, they do in these places.

    A run that is trained on its own is `started`, one of a bank only `finished`.
    """

    def prepare(self) -> None:
        """Called as soon as it is clear that there is something to log."""

    def started(self, info: RunInfo) -> list[Callback]:
        """A run begins; returns what watches its training."""
        return []

    def finished(
        self,
        info: RunInfo,
        document: Mapping[str, Any],
        quantities: Mapping[str, Quantity],
        folder: Path,
    ) -> None:
        """A run's record was written into `folder`; quantities say what its numbers mean."""

    def compared(self, info: RunInfo, report: "ComparisonReport") -> None:
        """All runs of a problem were compared."""

    def failed(self) -> None:
        """The run that was started ended with an error."""


class NoLogger(RunLogger):
    """Logs nothing: everything is in the run's record."""


class CsvLogger(RunLogger):
    """`losses.csv` (one row a step) and `metrics.csv` (one row a number) in the run's folder."""

    def __init__(self) -> None:
        self._losses: list[Loss] = []
        self._watch: LossWatch | None = None

    def started(self, info: RunInfo) -> list[Callback]:
        self._losses = []
        self._watch = LossWatch(self._losses.extend)
        return [self._watch]

    def finished(
        self,
        info: RunInfo,
        document: Mapping[str, Any],
        quantities: Mapping[str, Quantity],
        folder: Path,
    ) -> None:
        if self._watch is not None:
            self._watch.flush()
            _write(folder / "losses.csv", Loss._fields, self._losses)
            self._watch = None
        _write(folder / "metrics.csv", ("metric", "value"), document["metrics"].items())


def _write(file: Path, header: tuple[str, ...], rows: Any) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


class LossWatch(Callback):
    """Collects every step's loss on the device and reads them at most once a second.

    What is left at the end is read by `flush`, after the clock of the run's costs has stopped.

    Args:
        send: gets the losses that were read.
    """

    def __init__(self, send: Callable[[list[Loss]], Any]):
        self.send = send
        self.pending: list[tuple[int, str, torch.Tensor]] = []
        self.last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        assert isinstance(module, UnlearningMethod)
        self.pending.append((module.steps_done, module.phase.name, outputs["loss"].detach()))
        if time.monotonic() - self.last >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Read and send what was collected."""
        self.last = time.monotonic()
        if self.pending:
            values = torch.stack([loss.float() for _, _, loss in self.pending]).tolist()
            rows = zip(self.pending, values, strict=True)
            self.send([Loss(step, phase, value) for (step, phase, _), value in rows])
            self.pending.clear()


def shareable(value: Any) -> Any:
    """A config for other people's eyes: no secrets, no folders of this machine.

    Absolute paths lose their folders and keep their last part; values under keys such as `api_key`
    or `token` are hidden.
    """
    if isinstance(value, Mapping):
        return {
            str(key): "hidden" if SECRET.search(str(key)) and item else shareable(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [shareable(item) for item in value]
    if isinstance(value, str):
        if "=" in value and SECRET.search(value.split("=")[0]):
            return value.split("=")[0] + "=hidden"
        return ABSOLUTE.sub("", value)
    return value
