"""Device, precision and the Lightning trainer."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning import Callback, Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

from unlearn.errors import UserError
from unlearn.training.quiet import silence


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
        checkpoint_minutes: between two checkpoints of a training, from which it goes on to the same
            bits when it was stopped; shorter trainings keep none. None = no checkpoints.
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    channels_last: bool = False
    compile: bool = False
    resident_gb: float = 8.0
    workers: int = 2
    devices: int = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = "auto"
    checkpoint_minutes: float | None = 5.0

    def __post_init__(self) -> None:
        least = {"resident_gb": 0, "workers": 0, "devices": 1, "num_nodes": 1}
        for key, low in least.items():
            if getattr(self, key) < low:
                raise UserError(f"trainer.{key} must be at least {low}, got {getattr(self, key)}")
        if self.checkpoint_minutes is not None and self.checkpoint_minutes < 0:
            raise UserError(
                "trainer.checkpoint_minutes must be at least 0, or null for no checkpoints; got "
                f"{self.checkpoint_minutes}"
            )

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
            precision=self.precision,
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
