"""One pass of a method through Lightning, and what it cost."""

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn

from unlearn.errors import UserError
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView
from unlearn.training import processes, stopping
from unlearn.training.checkpoints import Place
from unlearn.training.operations import PreparationCounter, StepCounter
from unlearn.training.resuming import Resuming
from unlearn.training.trainer import TrainerSettings


@dataclass
class Costs:
    """What a fit cost. Seconds are of the method alone: no evaluation, no loading.

    Attributes:
        seconds: preparation and training.
        prepare_seconds: the part of `prepare()`.
        steps: optimizer steps.
        examples_read: examples delivered to the method.
        operations: floating-point operations of preparation and training, those of frozen networks
            included; None where they are not known.
        peak_memory: bytes, of the accelerator; of the process on CPU; None where not known.
        trained_at_once: models that shared the fit (stacked parameters); costs are per model.
        device: what it ran on.
    """

    seconds: float
    prepare_seconds: float
    steps: int
    examples_read: int
    operations: int | None
    peak_memory: int | None
    trained_at_once: int
    device: str

    @classmethod
    def unknown(cls) -> "Costs":
        """Of a model that was trained elsewhere."""
        nan: Any = math.nan  # not 0, which would be a cost
        return cls(nan, nan, nan, nan, None, None, 1, "trained elsewhere")


class OwnSignals(Callback):
    """Leaves signals to `unlearn.training.stopping` while Lightning trains."""

    def on_train_start(self, *_: Any) -> None:
        stopping.listen_again()


class Aside(Callback):
    """A callback that watches a run and whose own work is no cost of it.

    Attributes:
        seconds: that it took.
    """

    seconds: float = 0.0


class FiniteLoss(Callback):
    """Stops a run whose loss is no longer a number, and says where.

    On a GPU the check waits for the device, so it runs every 50 steps and at the end of epochs; the
    first bad step is still the one named.
    """

    def __init__(self) -> None:
        self.pending: list[tuple[int, torch.Tensor]] = []

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        assert isinstance(module, UnlearningMethod)
        loss = outputs["loss"]
        if module.device.type == "cpu" and math.isfinite(loss):
            return
        self.pending.append((module.steps_done, loss.detach()))
        if module.device.type == "cpu" or len(self.pending) >= 50:
            self.flush(module)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, UnlearningMethod)
        self.flush(module)

    def flush(self, module: UnlearningMethod) -> None:
        if not self.pending:
            return
        losses = torch.stack([loss.float() for _, loss in self.pending])
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            step, loss = self.pending[int((~finite).nonzero()[0])]
            raise UserError(
                f"{type(module).__name__}: the loss is {float(loss)} at step {step}, in phase "
                f"{module.phase.name!r}: lower the learning rate or clip gradients"
            )
        self.pending.clear()


def fit(
    method: UnlearningMethod,
    net: nn.Module,
    data: ProblemView,
    *,
    seed: int,
    settings: TrainerSettings,
    callbacks: list[Callback] | None = None,
    logger: Any = False,
    place: Place | None = None,
) -> Costs:
    """Run a method: bind, prepare, train its phases.

    Args:
        method: a freshly built method.
        net: the network it may change; afterwards `method.net`.
        data: the view of the problem.
        seed: of the run; fixes torch's global generator too.
        settings: device and precision.
        callbacks: Lightning callbacks that watch the run.
        logger: Lightning logger or False.
        place: where checkpoints of this very run lie; it goes on from one. None = none are kept.

    Returns:
        Seconds, operations, steps, examples and memory; none of them where a method has nothing to
        do.

    Raises:
        UserError: the method does not support the problem, or its loss is not finite.
    """
    device = settings.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    with PreparationCounter(data) as preparation:
        start(method, net, data, seed, settings)
    prepared = time.perf_counter()
    if settings.compile:
        method.net.compile()
    epochs = method.total_epochs()
    steps = StepCounter()
    # Several processes do not agree yet on a step to keep.
    kept = place if processes.size() == 1 else None
    watching = [c for c in callbacks or [] if isinstance(c, Aside)]
    resuming = Resuming(method, kept, steps, begin, lambda: sum(c.seconds for c in watching))
    trainer = settings.build(
        epochs, [OwnSignals(), FiniteLoss(), steps, *(callbacks or [])], logger
    )
    try:
        with stopping.at_steps():
            made = resuming.restore(trainer)
            trainer.fit(method)
            del made
    except SystemExit as end:  # Lightning's answer to Ctrl-C
        if isinstance(end.__context__, KeyboardInterrupt):
            raise end.__context__ from None
        raise
    finally:
        steps.close()
    synchronize(device)
    method.to(device)  # Lightning's teardown moves the module to the CPU
    method.net.eval()
    works = epochs > 0 or type(method).prepare is not UnlearningMethod.prepare
    return Costs(
        seconds=resuming.seconds() if works else 0.0,
        prepare_seconds=prepared - begin if works else 0.0,
        steps=method.steps_done,
        examples_read=data.examples_read,
        # Every process prepares the same, and trains on its own part of the batches.
        operations=preparation.total + processes.total(steps.total),
        peak_memory=peak_memory(device) if works else 0,
        trained_at_once=1,
        device=device_name(device),
    )


def start(
    method: UnlearningMethod,
    net: nn.Module,
    data: ProblemView,
    seed: int,
    settings: TrainerSettings,
) -> None:
    """Bind a method, move it to the device and let it prepare; see `fit`."""
    device = settings.device
    method.bind(net, data, seed)
    torch.manual_seed(seed)
    if settings.channels_last:
        net.to(memory_format=torch.channels_last)
    method.to(device)
    with torch.enable_grad():
        method.start(device)
    synchronize(device)


def synchronize(device: torch.device) -> None:
    """Wait for an accelerator to finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def peak_memory(device: torch.device) -> int | None:
    """Peak bytes: allocated on the accelerator, or resident of this process on CPU; None where
    the system does not tell (Windows)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def device_name(device: torch.device) -> str:
    """Readable device, such as `NVIDIA H200` or `CPU, 2 threads`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
