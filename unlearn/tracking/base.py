"""What a logger of runs is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning import Callback

from unlearn.evals.base import Quantity

if TYPE_CHECKING:
    from unlearn.comparison.result import ComparisonReport


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
    """Logs nothing; what other loggers do, they do in these places. Whatever goes wrong there is a
    warning, never an error: no run ends for what is logged of it.

    A run that is trained on its own is `started`, one of a bank only `finished`.
    """

    def prepare(self) -> None:
        """Called as soon as it is clear that there is something to log."""

    def started(self, info: RunInfo) -> list[Callback]:
        """A run begins; returns what watches its training."""
        return []

    def learned(self, epoch: int, values: Mapping[str, float]) -> None:
        """What the run that was started gets right after an epoch, by split."""

    def finished(
        self,
        info: RunInfo,
        document: Mapping[str, Any],
        quantities: Mapping[str, Quantity],
        folder: Path,
    ) -> None:
        """A run's record was written into `folder`, or a reference model is stored and `folder`
        is there for what is logged of it; quantities say what its numbers mean."""

    def compared(self, info: RunInfo, report: "ComparisonReport") -> None:
        """All runs of a problem were compared."""

    def failed(self) -> None:
        """The run that was started ended with an error."""
