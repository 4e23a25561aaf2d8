"""The contract of an unlearning method: `requires`, `prepare()`, `phases()`, `loss(batch)`."""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakValueDictionary

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from unlearn.data.loaders import Augment, LastBatch, Loader, PairedLoader
from unlearn.data.splits import Batch, Pair, Split
from unlearn.errors import UserError
from unlearn.methods.parts.optimizers import fuse
from unlearn.recipes.recipe import OptimizerFactory, SchedulerFactory

if TYPE_CHECKING:
    from unlearn.problem import ProblemView


@dataclass(frozen=True)
class Phase:
    """One stretch of training with its own data, optimizer and loss.

    Attributes:
        name: shown in progress and logs.
        data: `retain`, `forget`, `mixed` (both, with `is_forget`), `paired` (a `Pair` a step, the
            shorter side cycled), or a `Split` of the method's own making.
        epochs: passes over `data`.
        optimizer: from parameters to optimizer.
        batch_size: examples a step at most (of each side when paired).
        loss: the equation of this phase; None = the method's `loss`.
        scheduler: from (optimizer, steps of the phase, steps an epoch) to a per-step schedule.
        order: `shuffled` anew every epoch, or `stored`.
        augment: batched augmentation of images; None = that of the view, if it has one.
        mode: network mode, `train` or `eval` (dropout off, frozen batch-norm statistics).
        gradient_clip: largest gradient norm, None = no clipping.
        last_batch: what becomes of examples that fill no batch: `spread` over all batches, which
            get one size; `keep`, a short last batch; `drop`. None = `spread` when shuffled, so that
            no result hangs on the remainder; `keep` in stored order, which is there to follow an
            authors' loader batch by batch.
        parameters: what the optimizer gets (parameters or groups); None = the whole network.
        before: run once when the phase starts, before its optimizer is built.
    """

    name: str
    data: str | Split
    epochs: int
    optimizer: OptimizerFactory
    batch_size: int = 64
    loss: Callable[[Any], Tensor] | None = None
    scheduler: SchedulerFactory | None = None
    order: Literal["shuffled", "stored"] = "shuffled"
    augment: Augment | None = None
    mode: Literal["train", "eval"] = "train"
    gradient_clip: float | None = None
    last_batch: LastBatch | None = None
    parameters: Sequence[Any] | None = None
    before: Callable[[], None] | None = None


class UnlearningMethod(LightningModule):
    """Base of every method. Subclasses give `requires`, and what they need of the other three.

    After `bind`, a method has:
        net: the network to change, a copy of the original model.
        data: the view of the problem; reading a split that `requires` does not name raises.
        task: what is predicted (`task.criterion(outputs, targets)`).
        seed, generator: the run's seed, and a CPU generator seeded with it.
        phase_number: of the phase that is running.
        device_generator: a generator on the network's device for noise and augmentation.
        optimizers_made, schedules_made: by phase, those that are still in use.
        passed, goes_on_in: for checkpoints, see `unlearn.training.resuming`.

    Attributes:
        requires: splits the method may read.
        tasks: task types it supports.
        forget_kinds: kinds of forget set it exists for (`random`, `class`, ...); None = all.
        done_elsewhere: True where the work was done by other code, so that what a run costs here
            says nothing of what the method costs.
        stacks: True when loss and phases depend on nothing but parameters and batch, so that
            many seeds may run at once with stacked parameters.
        version: raised when a change of the code changes its numbers, so that older runs are not
            taken for them.
    """

    requires: ClassVar[tuple[str, ...]] = ("retain", "forget")
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression")
    forget_kinds: ClassVar[tuple[str, ...] | None] = None
    done_elsewhere: ClassVar[bool] = False
    stacks: ClassVar[bool] = False
    version: ClassVar[int] = 1

    net: nn.Module

    # ---- what a method defines -------------------------------------------------------------

    def prepare(self) -> None:
        """One-shot work before training, on the device, with gradients on, timed."""

    def phases(self) -> list[Phase]:
        """The training phases in order; empty for a one-shot method. Called after `prepare`."""
        return []

    def loss(self, batch: Any) -> Tensor:
        """The paper's equation on one batch (a `Batch`, or a `Pair` for paired data)."""
        raise NotImplementedError(f"{type(self).__name__} has a phase without a loss")

    def step_kind(self, batch: Any) -> Hashable:
        """What the work of a step depends on within its phase: steps of one kind cost the same.
        Its cost is counted on the first step of every kind; by default the sizes decide."""
        sides = batch if isinstance(batch, Pair) else (batch,)
        return tuple(side.x.shape for side in sides)

    def content(self, seed: int) -> dict[str, str]:
        """Of values that name files, what is in the files that a run of `seed` reads: a run is
        identified by that instead of by where they lie."""
        return {}

    # ---- what the runner calls ---------------------------------------------------------------

    def check_supports(self, data: "ProblemView") -> None:
        """Refuse a problem that the method is not made for, before anything is trained.

        Raises:
            UserError: the task type, the kind of forget set, or a missing split, and why.
        """
        name = type(self).__name__
        for split in self.requires:
            if not data.has(split):
                raise UserError(f"{name} reads the {split} set, and this problem has none")
        if data.task.kind not in self.tasks:
            raise UserError(
                f"{name} supports {' and '.join(self.tasks)} only, and this dataset's task is "
                f"{data.task.kind}: choose another method or dataset"
            )
        if self.forget_kinds is not None and data.forget_kind not in self.forget_kinds:
            raise UserError(
                f"{name} exists for forget sets of kind {' or '.join(self.forget_kinds)}, and this "
                f"one is {data.forget_kind!r}: choose forget={self.forget_kinds[0]} or another "
                "method"
            )

    def bind(self, net: nn.Module, data: "ProblemView", seed: int) -> None:
        """Give the method its network, its view of the problem and its seed."""
        self.check_supports(data)
        self.net, self.data, self.task, self.seed = net, data, data.task, seed
        self.generator = torch.Generator().manual_seed(seed)
        self.steps_done = 0
        self._phases: list[Phase] = []
        self.phase_number = -1
        self.optimizers_made: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self.schedules_made: WeakValueDictionary[int, Any] = WeakValueDictionary()
        self.passed: Callable[[Any], Any] = lambda loader: loader
        self.goes_on_in: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Network output, logits `(B, C)` or predictions `(B, 1)`."""
        return self.net(x)

    @property
    def phase(self) -> Phase:
        """The phase that is running."""
        return self._phases[self.phase_number]

    @property
    def planned_phases(self) -> Sequence[Phase]:
        """All phases of the run, fixed by `start`."""
        return self._phases

    @property
    def phase_loader(self) -> Loader | PairedLoader:
        """The batches of the phase that is running."""
        return self._loader

    def start(self, device: torch.device) -> None:
        """Prepare on the device, then fix the phases."""
        self.device_generator = torch.Generator(device).manual_seed(self.seed)
        self.net.eval()
        self.prepare()
        self._phases = list(self.phases())

    def total_epochs(self) -> int:
        return sum(phase.epochs for phase in self._phases)

    def phase_of_epoch(self, epoch: int) -> int:
        """Number of the phase of an epoch of the run."""
        for number, phase in enumerate(self._phases):
            if epoch < phase.epochs:
                return number
            epoch -= phase.epochs
        raise IndexError(epoch)

    def make_loader(self, phase: Phase) -> Loader | PairedLoader:
        """The batches of a phase."""
        if phase.data == "paired":
            return PairedLoader(
                self._side(phase, self.data.split("retain")),
                self._side(phase, self.data.split("forget")),
            )
        split = self.data.split(phase.data) if isinstance(phase.data, str) else phase.data
        return self._side(phase, split)

    def _side(self, phase: Phase, split: Split) -> Loader:
        shuffled = phase.order == "shuffled"
        return self.data.loader(
            split,
            phase.batch_size,
            device=self.device,
            generator=self.generator if shuffled else None,
            augment=phase.augment or self.data.augment,
            augment_generator=self.device_generator,
            last_batch=phase.last_batch or ("spread" if shuffled else "keep"),
            share=self.data.share,
        )

    # ---- Lightning's hooks -------------------------------------------------------------------

    def enter(self, number: int) -> None:
        """Make phase `number` the running one."""
        if number != self.phase_number:
            self.phase_number = number
            if self.phase.before is not None:
                self.phase.before()
            self._loader = self.make_loader(self.phase)

    def train_dataloader(self) -> Loader | PairedLoader:
        self.enter(self.phase_of_epoch(self.trainer.current_epoch))
        return self.passed(self._loader)

    def configure_optimizers(self) -> Any:
        if not self._phases:
            return None
        self.enter(max(self.phase_number, 0))
        if self.phase_number not in self.optimizers_made:
            return self.optimizer_of(self.phase)
        schedule = self.schedules_made.get(self.phase_number)
        return _with_schedule(self.optimizers_made[self.phase_number], schedule)

    def optimizer_of(self, phase: Phase) -> Any:
        """Optimizer and per-step schedule of a phase, as Lightning wants them."""
        parameters = self.net.parameters() if phase.parameters is None else phase.parameters
        optimizer = self.optimizers_made[self.phase_number] = phase.optimizer(parameters)
        fuse(optimizer)
        if phase.scheduler is None:
            return optimizer
        steps = len(self._loader)
        schedule = phase.scheduler(optimizer, steps * phase.epochs, steps)
        self.schedules_made[self.phase_number] = schedule
        return _with_schedule(optimizer, schedule)

    def on_train_epoch_start(self) -> None:
        epochs_before = sum(phase.epochs for phase in self._phases[: self.phase_number])
        if self.trainer.current_epoch == epochs_before != self.goes_on_in:
            if self.phase_number > 0:
                self.trainer.strategy.setup_optimizers(self.trainer)
            self.net.train(self.phase.mode == "train")

    def training_step(self, batch: Batch | Pair, batch_idx: int) -> Tensor:
        loss = (self.phase.loss or self.loss)(batch)
        self.steps_done += 1
        return loss

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        if self.phase.gradient_clip is not None:
            parameters: Iterable[Tensor] = (
                p for group in optimizer.param_groups for p in group["params"]
            )
            nn.utils.clip_grad_norm_(parameters, self.phase.gradient_clip)

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return batch  # loaders deliver on the device


def _with_schedule(optimizer: Optimizer, schedule: Any) -> Any:
    step = {"scheduler": schedule, "interval": "step"}
    return optimizer if schedule is None else {"optimizer": optimizer, "lr_scheduler": step}


def check(
    name: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
) -> float:
    """Range check of a hyper-parameter.

    Raises:
        UserError: naming the parameter, the range and the value.
    """
    if not (low < value if open_low else low <= value) or value > high or math.isnan(value):
        bracket = "(" if open_low else "["
        raise UserError(f"method.{name} must lie in {bracket}{low:g}, {high:g}], got {value}")
    return value
