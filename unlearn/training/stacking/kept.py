"""Checkpoints of members that train as one stack."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unlearn.methods.base import UnlearningMethod
from unlearn.training import stopping
from unlearn.training.checkpoints import (
    Checkpoints,
    Generators,
    Kept,
    Pass,
    Place,
    attributes,
    load_optimizer,
    optimizer_state,
    pack,
    set_attributes,
    unpack,
)

if TYPE_CHECKING:
    from unlearn.training.stacking.stack import Stack


class KeptStack:
    """The checkpoints of one stack.

    Args:
        methods: its members, after their start.
        place: where checkpoints lie, None = none are kept.

    Attributes:
        phase: number of the phase in which the stack goes on; 0 for one that begins.
        earlier: seconds that it took before it was stopped.
    """

    def __init__(self, methods: Sequence[UnlearningMethod], place: Place | None):
        self.methods, self.begin = methods, time.perf_counter()
        self.generators = Generators(methods, methods[0].device)
        self.checkpoints = Checkpoints(place, methods)
        kept = self.checkpoints.load()
        self._saved: dict[str, Any] = {} if kept is None else unpack(kept)
        self.phase = self._saved.get("phase", 0)
        self.earlier = self._saved.get("seconds", 0.0)
        self._left: dict[str, Any] = {}

    def restore(self, stack: Stack, optimizer: Optimizer, schedule: LRScheduler | None) -> int:
        """Bring a phase to where it was left, if it was.

        Returns:
            The epoch of the phase to begin with.
        """
        saved, self._saved = self._saved, {}
        if not saved:
            return 0
        with torch.no_grad():
            for name, tensor in {**stack.parameters, **stack.buffers}.items():
                tensor.copy_(saved["tensors"][name])
        load_optimizer(optimizer, schedule, saved["optimizer"])

        def found_again() -> None:
            for method, member in zip(self.methods, saved["members"], strict=True):
                set_attributes(method, member["attributes"])
                method.data.examples_read = member["examples_read"]
            self.generators.load(saved["generators"])

        self._left = {"taken": saved["taken"], "began": saved["began"], "found_again": found_again}
        return int(saved["epoch"])

    def passing(
        self, stack: Stack, optimizer: Optimizer, schedule: LRScheduler | None, epoch: int
    ) -> Pass:
        """The batches of an epoch, or the rest of it, with a look after every step."""

        def capture(passing: Pass) -> Kept:
            return pack(
                {
                    "phase": self.methods[0].phase_number,
                    "epoch": epoch,
                    "taken": passing.taken,
                    "began": passing.began,
                    "generators": self.generators.state(),
                    "tensors": {**stack.parameters, **stack.buffers},
                    "optimizer": optimizer_state(optimizer, schedule),
                    "members": [
                        {"attributes": attributes(m), "examples_read": m.data.examples_read}
                        for m in self.methods
                    ],
                    "seconds": self.earlier
                    + time.perf_counter()
                    - self.begin
                    - self.checkpoints.saving,
                }
            )

        def between(passing: Pass) -> None:
            if self.checkpoints.look(lambda: capture(passing)):
                stopping.check()

        left, self._left = self._left, {}
        return Pass(stack.loader, self.generators, between, **left)
