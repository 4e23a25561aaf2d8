"""Device, precision and the Lightning trainer; one pass of a method through it."""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment
from torch import nn

from unlearn.errors import UserError
from unlearn.lightning_noise import silence
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView


@dataclass(frozen=True)
class TrainerSettings:
    """The trainer group's YAML.

    Attributes:
        accelerator: `auto`, `cpu` or `gpu`.
        precision: Lightning's, `32-true` or `bf16-mixed`.
        channels_last: memory format of network and batches; pays on GPUs and with bf16 on CPUs.
        compile: run the network through torch.compile.
        resident_gb: tables up to this size live on the accelerator whole.
        workers: processes that stream larger tables.
        devices: accelerators of one run.
        num_nodes: machines of one run.
        strategy: Lightning's strategy.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: str = "32-true"
    channels_last: bool = False
    compile: bool = False
    resident_gb: float = 8.0
    workers: int = 2
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"

    @property
    def device(self) -> torch.device:
        """The device of a single-device run."""
        available = torch.cuda.is_available()
        if self.accelerator == "gpu" and not available:
            raise UserError("trainer=gpu: this machine shows no CUDA device; use trainer=cpu")
        return torch.device("cuda" if available and self.accelerator != "cpu" else "cpu")

    def autocast(self) -> AbstractContextManager[Any]:
        """A new context with the precision's automatic casts, as Lightning makes for its steps."""
        if self.precision == "bf16-mixed":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def build(self, max_epochs: int, callbacks: list[Callback], logger: Any = False) -> Trainer:
        """A quiet Lightning trainer: nothing but the loop and the callbacks given."""
        silence()
        return Trainer(
            accelerator="gpu" if self.device.type == "cuda" else "cpu",
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy=self.strategy,
            precision=self.precision,  # type: ignore[arg-type]
            max_epochs=max_epochs,
            limit_train_batches=1.0 if max_epochs else 0,
            reload_dataloaders_every_n_epochs=1,
            callbacks=callbacks,
            logger=logger,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=10**9,
            # Requeueing is submitit's business: it starts the run again.
            plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None,
        )


@dataclass
class Costs:
    """What a fit cost. Seconds are of the method alone: no evaluation, no loading.

    Attributes:
        seconds: preparation and training.
        prepare_seconds: the part of `prepare()`.
        steps: optimizer steps.
        examples_read: examples delivered to the method.
        peak_memory: bytes, of the accelerator; of the process on CPU.
        trained_at_once: models that shared the fit (stacked parameters); costs are per model.
        device: what it ran on.
    """

    seconds: float
    prepare_seconds: float
    steps: int
    examples_read: int
    peak_memory: int
    trained_at_once: int
    device: str


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

    Returns:
        Seconds, steps, examples and memory.

    Raises:
        UserError: the method does not support the problem, or its loss is not finite.
    """
    device = settings.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    start(method, net, data, seed, settings)
    prepared = time.perf_counter()
    if settings.compile:
        method.net.compile()
    epochs = method.total_epochs()
    try:
        settings.build(epochs, [FiniteLoss(), *(callbacks or [])], logger).fit(method)
    except SystemExit as end:  # Lightning's answer to Ctrl-C
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    synchronize(device)
    method.to(device)  # Lightning's teardown moves the module to the CPU
    method.net.eval()
    return Costs(
        seconds=time.perf_counter() - begin,
        prepare_seconds=prepared - begin,
        steps=method.steps_done,
        examples_read=data.examples_read,
        peak_memory=peak_memory(device),
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


def peak_memory(device: torch.device) -> int:
    """Peak bytes: allocated on the accelerator, or resident of this process on CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """Readable device, such as `NVIDIA H200` or `CPU, 2 threads`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"
