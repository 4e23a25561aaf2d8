"""A training through Lightning that keeps checkpoints and goes on from them."""

import logging
import time
from collections.abc import Callable
from typing import Any

from lightning import Trainer

from unlearn.methods.base import UnlearningMethod
from unlearn.training import stopping
from unlearn.training.checkpoints import (
    Checkpoints,
    Generators,
    Kept,
    NotKept,
    Pass,
    Place,
    attributes,
    load_optimizer,
    optimizer_state,
    pack,
    set_attributes,
    unpack,
)
from unlearn.training.operations import StepCounter

log = logging.getLogger(__name__)


class Resuming:
    """Stands between a method's batches and the trainer, and looks after every step.

    Args:
        method: after its start.
        place: where checkpoints lie, None = none are kept.
        steps: counts the run's operations.
        begin: when the run began, by `time.perf_counter`.
        aside: seconds that went into watching it.

    Attributes:
        earlier: seconds that the run took before it was stopped.
        begin: when the rest of it began.
    """

    def __init__(
        self,
        method: UnlearningMethod,
        place: Place | None,
        steps: StepCounter,
        begin: float,
        aside: Callable[[], float] = lambda: 0.0,
    ):
        self.method, self.steps, self.aside = method, steps, aside
        self.begin, self.earlier = begin, 0.0
        self.checkpoints = Checkpoints(place, [method])
        self.generators = Generators([method], method.device)
        self._left: dict[str, Any] = {}
        method.passed = self._passed

    def restore(self, trainer: Trainer) -> Any:
        """Bring method and trainer to where a checkpoint was kept, if there is one.

        Returns:
            What must live until the trainer has taken the optimizers.
        """
        kept = self.checkpoints.load()
        if kept is None:
            return None
        saved, method = unpack(kept), self.method
        # Phases are set up in the order of the first start, so that what they share is shared.
        made = []
        for number in range(saved["phase"] + 1):
            method.enter(number)
            made.append(method.configure_optimizers())
        method.load_state_dict(saved["modules"])
        for number, state in saved["optimizers"].items():
            schedule = method.schedules_made.get(number)
            load_optimizer(method.optimizers_made[number], schedule, state)
        method.net.train(method.phase.mode == "train")
        method.goes_on_in = saved["epoch"]
        epochs = trainer.fit_loop.epoch_progress.current
        for count in ("ready", "started", "processed", "completed"):
            setattr(epochs, count, saved["epoch"])
        self.earlier, self.begin = saved["seconds"], time.perf_counter()

        def found_again() -> None:
            set_attributes(method, saved["attributes"])
            method.data.examples_read = saved["examples_read"]
            self.steps.total = saved["operations"]
            self.generators.load(saved["generators"])
            log.info("going on from step %d", method.steps_done)

        self._left = {"taken": saved["taken"], "began": saved["began"], "found_again": found_again}
        return made

    def seconds(self) -> float:
        """That the run took so far, in all its starts, without watching it and keeping it."""
        now = time.perf_counter() - self.begin
        return self.earlier + now - self.aside() - self.checkpoints.saving

    def _passed(self, loader: Any) -> Pass:
        left, self._left = self._left, {}
        return Pass(loader, self.generators, self._between, **left)

    def _between(self, passing: Pass) -> None:
        if self.checkpoints.look(lambda: self._capture(passing)):
            stopping.check()

    def _capture(self, passing: Pass) -> Kept:
        method = self.method
        known = {id(parameter) for parameter in method.parameters()}
        optimizers: dict[int, Any] = {}
        seen: set[int] = set()
        for number, optimizer in sorted(method.optimizers_made.items(), reverse=True):
            if id(optimizer) in seen:
                continue
            seen.add(id(optimizer))
            if any(id(p) not in known for group in optimizer.param_groups for p in group["params"]):
                raise NotKept(f"{type(method).__name__} trains what it does not hold as a module")
            optimizers[number] = optimizer_state(optimizer, method.schedules_made.get(number))
        return pack(
            {
                "phase": method.phase_number,
                "epoch": method.trainer.current_epoch,
                "taken": passing.taken,
                "began": passing.began,
                "generators": self.generators.state(),
                "modules": dict(method.state_dict()),
                "attributes": attributes(method),
                "optimizers": optimizers,
                "examples_read": method.data.examples_read,
                "operations": self.steps.total,
                "seconds": self.seconds(),
            }
        )
