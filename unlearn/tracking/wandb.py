"""Weights & Biases: online with an account, offline without one, and never in a run's way."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning import Callback

from unlearn.evals.base import Quantity
from unlearn.tracking.base import RunInfo, RunLogger
from unlearn.tracking.losses import Loss, LossWatch
from unlearn.tracking.redaction import shareable, shareable_text
from unlearn.tracking.wandb_server import answers, has_key, server

if TYPE_CHECKING:
    from unlearn.comparison.result import ComparisonReport

log = logging.getLogger(__name__)

INIT_SECONDS = 30.0
POINTS_A_FLUSH = 10  # points of the loss curves per second of training, more where phases change
FILES_MB = 20  # pictures and tables larger than this stay on this machine

_told: set[str] = set()
_broken = threading.Event()
_unreachable = threading.Event()


class WandbLogger(RunLogger):
    """One wandb run a run of the program. Whatever goes wrong is one warning, never an error.

    Args:
        project: wandb project.
        entity: team, None = the account's default.
        group: of runs that belong together, None = the sweep, or the problem.
        tags: added to dataset, model and forget set.
        mode: `online`, `offline`, or `auto`: online where there is an API key and a network.
        folder: where wandb keeps its files.
    """

    def __init__(
        self,
        project: str,
        folder: str,
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        mode: Literal["auto", "online", "offline"] = "auto",
    ):
        self.project, self.entity, self.group = project, entity, group
        self.tags, self.mode, self.folder = tuple(tags), mode, Path(folder)
        self._run: Any = None
        self._watch: LossWatch | None = None
        self._warming: threading.Thread | None = None

    def prepare(self) -> None:
        """Import wandb and start its service while data and reference models are loaded."""
        if not _broken.is_set():
            self._warming = threading.Thread(target=self._guarded(self._warm), daemon=True)
            self._warming.start()

    def started(self, info: RunInfo) -> list[Callback]:
        self._guarded(self._open)(info)
        self._watch = LossWatch(self._guarded(self._curve))
        return [self._watch] if self._run is not None else []

    def learned(self, epoch: int, values: Mapping[str, float]) -> None:
        if self._run is not None:
            curves = {f"learning/{split}": value for split, value in values.items()}
            self._guarded(self._run.log)({**curves, "epoch": epoch})

    def finished(
        self,
        info: RunInfo,
        document: Mapping[str, Any],
        quantities: Mapping[str, Quantity],
        folder: Path,
    ) -> None:
        if self._run is None:
            self._guarded(self._open)(info)
        if self._watch is not None:
            self._watch.flush()
            self._watch = None
        if self._run is not None:
            self._guarded(self._results)(document, quantities, folder)
            self._close(0)

    def compared(self, info: RunInfo, report: "ComparisonReport") -> None:
        self._guarded(self._open)(info)
        if self._run is not None:
            self._guarded(self._comparison)(report)
            self._close(0)

    def failed(self) -> None:
        self._watch = None
        if self._run is not None:
            self._close(1)

    # ---- what is told to wandb, each guarded ---------------------------------------------------

    def _warm(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Tables and pictures of offline runs wait for `wandb sync` beside the runs.
        os.environ.setdefault("WANDB_DATA_DIR", str((self.folder / "wandb").absolute()))
        import wandb

        wandb.setup(settings=self._settings())

    def _open(self, info: RunInfo) -> None:
        if _broken.is_set():
            return
        if self._warming is None:
            self.prepare()
        if self._warming is not None:
            self._warming.join()
        if _broken.is_set():
            return
        import wandb

        mode = self._mode()
        keep: dict[str, Any] = {
            "project": self.project,
            "entity": self.entity,
            "group": self.group or info.group,
            "job_type": info.method,
            "name": info.name,
            "tags": [*info.tags, *self.tags],
            "config": shareable(info.config),
            "dir": str(self.folder),
            "reinit": "create_new",
        }
        try:
            self._run = wandb.init(**keep, mode=mode, settings=self._settings())
        except Exception as error:
            if mode != "online":
                raise
            _unreachable.set()
            _once(f"wandb cannot be reached ({_short(error)}): this run is logged offline")
            self._run = wandb.init(**keep, mode="offline", settings=self._settings())
        if self._run.settings.mode == "offline":
            _once(
                "wandb logs offline; to see the runs on wandb.ai: "
                f"wandb login; wandb sync {self.folder / 'wandb'}/offline-run-*"
            )
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("loss/*", step_metric="step", summary="last")
        self._run.define_metric("epoch", hidden=True)
        self._run.define_metric("learning/*", step_metric="epoch", summary="last")

    def _curve(self, losses: list[Loss]) -> None:
        size = -(-len(losses) // POINTS_A_FLUSH)
        for phase, stretch in groupby(losses, key=lambda loss: loss.phase):
            points = list(stretch)
            for start in range(0, len(points), size):
                part = points[start : start + size]
                mean = sum(point.value for point in part) / len(part)
                self._run.log({f"loss/{phase}": mean, "step": part[-1].step})

    def _results(
        self, document: Mapping[str, Any], quantities: Mapping[str, Quantity], folder: Path
    ) -> None:
        import wandb

        metrics = {k: v for k, v in document["metrics"].items() if v is not None}
        problem = document["problem"]
        self._run.config.update(
            {
                "problem": {k: v for k, v in problem.items() if k != "forget_indices"},
                "data_access": shareable(document.get("data_access", {})),
                "versions": document["versions"],
            }
        )
        self._run.summary.update({**metrics, "costs": document["costs"]})
        columns: list[str | int] = ["metric", "label", "value", "better"]
        rows = [
            [key, *(_meaning(quantities.get(key), value))] for key, value in sorted(metrics.items())
        ]
        self._run.log({"table": wandb.Table(columns=columns, data=rows)})
        self._pictures(sorted(folder.glob("*.png")))

    def _comparison(self, report: "ComparisonReport") -> None:
        import wandb

        keys = list(report.quantities)
        columns: list[str | int] = ["row", "kind", "models"]
        for key in keys:
            columns += [key, f"{key} low", f"{key} high"]
        rows = []
        for row in report.rows:
            label = shareable_text(row.label)
            cells: list[Any] = [label, row.kind, len(row.runs)]
            for key in keys:
                number = row.numbers.get(key)
                interval = number.interval if number else None
                ends = (interval.low, interval.high) if interval else (None, None)
                values = (number.value if number else None, *ends)
                cells += [None if v is None or v != v else float(v) for v in values]
                if number and number.value == number.value:
                    self._run.summary[f"{label}/{key}"] = float(number.value)
            rows.append(cells)
        self._run.log({"comparison": wandb.Table(columns=columns, data=rows)})
        self._pictures(list(report.pictures.values()))
        if report.folder is not None:
            artifact = wandb.Artifact(f"report-{report.name}", type="report")
            # Not the page: it states command lines, with the folders of this machine.
            for file in sorted(report.folder.glob("results.*")):
                with artifact.new_file(file.name, encoding="utf-8") as shared:
                    shared.write(shareable_text(file.read_text(encoding="utf-8")))
            self._run.log_artifact(artifact)

    def _pictures(self, files: Sequence[Path]) -> None:
        import wandb

        small = [file for file in files if file.stat().st_size <= FILES_MB * 1e6]
        if small:
            self._run.log({f"pictures/{file.stem}": wandb.Image(str(file)) for file in small})

    def _close(self, exit_code: int) -> None:
        run, self._run = self._run, None
        self._guarded(run.finish)(exit_code=exit_code)

    # ---- how it is told ------------------------------------------------------------------------

    def _mode(self) -> Literal["online", "offline", "disabled"]:
        asked = os.environ.get("WANDB_MODE", "")
        if asked in ("offline", "disabled", "dryrun"):
            return "disabled" if asked == "disabled" else "offline"
        if self.mode == "offline" or _unreachable.is_set():
            return "offline"
        if self.mode == "online" or asked == "online":
            return "online"
        if not has_key():
            return "offline"
        if answers():
            return "online"
        _unreachable.set()
        _once(f"wandb: {server()} does not answer, so runs are logged offline")
        return "offline"

    def _settings(self) -> Any:
        import wandb

        return wandb.Settings(
            console="off",
            silent=True,
            disable_code=True,
            disable_git=True,
            host="",
            init_timeout=INIT_SECONDS,
            x_disable_meta=True,  # it holds the command's and the interpreter's absolute paths
            x_disable_machine_info=True,
            x_disable_stats=True,
            x_save_requirements=False,
            # A lost network must not hold up the end of a run: `wandb sync` sends the rest later.
            x_file_stream_retry_max=3,
            x_file_transfer_retry_max=3,
            x_graphql_retry_max=3,
        )

    def _guarded(self, work: Callable[..., Any]) -> Callable[..., None]:
        """The same work, which ends in one warning where wandb raises anything."""

        def guarded(*args: Any, **kwargs: Any) -> None:
            if _broken.is_set():
                return
            try:
                work(*args, **kwargs)
            except Exception as error:
                _broken.set()
                _once(f"wandb does not work ({_short(error)}), so nothing more is logged to it")

        return guarded


def _meaning(quantity: Quantity | None, value: float) -> tuple[str, float, str]:
    return (quantity.label, value, quantity.better) if quantity else ("", value, "")


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        log.warning(text)
