"""Losses and metrics as CSV files in the folder of every run."""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback

from unlearn.evals.base import Quantity
from unlearn.tracking.base import RunInfo, RunLogger
from unlearn.tracking.losses import Loss, LossWatch

log = logging.getLogger(__name__)


class CsvLogger(RunLogger):
    """`losses.csv` (one row a step) and `metrics.csv` (one row a number) in the run's folder; of a
    reference model also `learning.csv` (one row an epoch and split).

    Where they cannot be written, that is one warning, never an error.
    """

    def __init__(self) -> None:
        self._losses: list[Loss] = []
        self._learned: list[tuple[int, str, float]] = []
        self._watch: LossWatch | None = None
        self._told: set[Path] = set()

    def started(self, info: RunInfo) -> list[Callback]:
        self._losses, self._learned = [], []
        self._watch = LossWatch(self._losses.extend)
        return [self._watch]

    def learned(self, epoch: int, values: Mapping[str, float]) -> None:
        self._learned += [(epoch, split, value) for split, value in values.items()]

    def finished(
        self,
        info: RunInfo,
        document: Mapping[str, Any],
        quantities: Mapping[str, Quantity],
        folder: Path,
    ) -> None:
        watch, self._watch = self._watch, None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if watch is not None:
                watch.flush()
                _write(folder / "losses.csv", Loss._fields, self._losses)
                if self._learned:
                    _write(folder / "learning.csv", ("epoch", "split", "value"), self._learned)
            _write(folder / "metrics.csv", ("metric", "value"), document["metrics"].items())
        except OSError as error:
            if folder.parent not in self._told:  # one line for all runs there
                self._told.add(folder.parent)
                why = error.strerror or error
                log.warning("cannot write %s (%s), so CSV files are missing", folder, why)


def _write(file: Path, header: tuple[str, ...], rows: Any) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)
