"""Progress of long work: a bar on a terminal, a line a minute in batch jobs."""

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from unlearn.programs.console import QUIET_SECONDS, console, is_live, say

REDRAW_SECONDS = 0.2


class TrainingProgress(Callback):
    """Shows what is being trained and how long it still takes.

    Args:
        title: what is being done and why.
    """

    def __init__(self, title: str):
        self.title = title
        self.live = is_live()

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.started = self.last = time.monotonic()
        say(self.title)
        if self.live:
            self.bar = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self.bar.start()
            self.row = self.bar.add_task("", total=trainer.max_epochs)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        now = time.monotonic()
        if now - self.last < (REDRAW_SECONDS if self.live else QUIET_SECONDS):
            return
        self.last = now
        epochs = trainer.max_epochs or 1
        position = trainer.current_epoch + (index + 1) / max(trainer.num_training_batches, 1)
        text = f"epoch {trainer.current_epoch + 1}/{epochs}"
        if self.live:
            self.bar.update(self.row, completed=position, description=text)
        else:
            left = (now - self.started) * (epochs / position - 1)
            say(f"  {text}, {left / 60:.0f} min left")

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self.live:
            self.bar.stop()

    def on_exception(
        self, trainer: Trainer, module: LightningModule, exception: BaseException
    ) -> None:
        if self.live and hasattr(self, "bar"):
            self.bar.stop()
