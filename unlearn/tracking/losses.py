"""Losses of every step, read from the device at most once a second."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer

from unlearn.methods.base import UnlearningMethod

FLUSH_SECONDS = 1.0  # reading losses waits for the device, so not oftener than this


class Loss(NamedTuple):
    """The loss of one optimizer step."""

    step: int
    phase: str
    value: float


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
