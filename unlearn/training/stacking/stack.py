"""One phase of several members of a bank, trained as one network with stacked parameters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Event
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unlearn.data.loaders import stack_loaders
from unlearn.data.splits import Batch, Pair
from unlearn.errors import UserError
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.training.checkpoints import Place
from unlearn.training.stacking.kept import KeptStack
from unlearn.training.stacking.merged_channels import MergedChannels
from unlearn.training.stacking.stackable import (
    HONOURED,
    NotStackable,
    check_elementwise,
    check_stacks,
    parameter_groups,
    phase_shape,
    relative_rates,
)

Autocast = Callable[[], AbstractContextManager[Any]]

# Steps between two looks at the losses on an accelerator, where every look waits for the device.
CHECK_EVERY = 50


class Stopped(Exception):
    """Training was called off from outside."""


class _Loss(nn.Module):
    """The loss of the running phase as a module, so that all state of a method is swapped in."""

    def __init__(self, method: UnlearningMethod):
        super().__init__()
        self.method = method

    def forward(self, batch: Batch | Pair) -> Tensor:
        return (self.method.phase.loss or self.method.loss)(batch)


class Stack:
    """Members in the same phase, their parameters and buffers stacked along a first axis.

    While the stack lives, the members' own tensors are views of it; `release` gives each its own
    memory again. Frozen networks that a method holds (teachers) are stacked like the rest.

    Args:
        methods: prepared and in the same phase.
        autocast: makes the context in which losses are computed.

    Raises:
        NotStackable: the members differ in more than values of parameters, or override hooks.
    """

    def __init__(self, methods: Sequence[UnlearningMethod], autocast: Autocast):
        self.methods, self.first, self.autocast = methods, methods[0], autocast
        for method in methods:
            check_stacks(method)
            method.net.train(method.phase.mode == "train")
            if phase_shape(method) != phase_shape(self.first):
                raise NotStackable("the members' phases differ")
        modules = [_Loss(method) for method in methods]
        try:
            self.parameters, self.buffers = stack_module_state(modules)
        except RuntimeError as error:
            raise NotStackable(f"the members' networks differ: {error}") from error
        groups = [parameter_groups(method) for method in methods]
        self.groups, self.rates = groups[0], relative_rates(groups)
        self._state = {**self.parameters, **self.buffers}
        for number, module in enumerate(modules):
            for name, tensor in _named_state(module):
                tensor.data = self._state[name].data[number]
        self.modules = modules
        self.loader = stack_loaders([method.phase_loader for method in methods])
        self._losses = vmap(self._loss, randomness="error")

    def _loss(self, parameters: Any, buffers: Any, batch: Any) -> Tensor:
        return functional_call(self.modules[0], (parameters, buffers), (batch,))

    def losses(self, batch: Batch | Pair) -> Tensor:
        """Loss of every member `(M,)` on its part of a stacked batch."""
        casting = torch.is_autocast_enabled
        with self.autocast(), MergedChannels(casting("cpu") or casting("cuda")):
            return self._losses(self.parameters, self.buffers, _members_innermost(batch))

    def optimizer(self) -> tuple[Optimizer, LRScheduler | None]:
        """The optimizer of the phase over stacked tensors.

        SGD, Adam and their kin work entry by entry, so each member gets the update it would get
        on its own.
        """
        groups = [
            {**options, "params": [self.parameters[f"method.{name}"] for name in names]}
            for names, options in self.groups
        ]
        made = self.first.optimizer_of(replace(self.first.phase, parameters=groups))
        schedule = made["lr_scheduler"]["scheduler"] if isinstance(made, dict) else None
        optimizer = made["optimizer"] if isinstance(made, dict) else made
        check_elementwise(optimizer)
        if schedule is not None and self._own_rates():
            raise NotStackable("the members' learning rates differ and are scheduled")
        return optimizer, schedule

    def train(self, seeds: Sequence[int], stop: Event, kept: "KeptStack") -> None:
        """Run the phase, or the rest of it.

        Raises:
            UserError: a loss is not finite; names seed, step and phase.
            Stopped: `stop` was set.
        """
        optimizer, schedule = self.optimizer()
        phase = self.first.phase
        hooked = getattr(type(self.first), HONOURED) is not getattr(UnlearningMethod, HONOURED)
        pending: list[tuple[int, Tensor]] = []
        for epoch in range(kept.restore(self, optimizer, schedule), phase.epochs):
            for batch in kept.passing(self, optimizer, schedule, epoch):
                if stop.is_set():
                    raise Stopped
                losses = self.losses(batch)
                optimizer.zero_grad()
                losses.sum().backward()
                if hooked:
                    self._hook(optimizer)
                if phase.gradient_clip is not None:
                    self._clip(optimizer, phase.gradient_clip)
                self._step(optimizer)
                if schedule is not None:
                    schedule.step()
                for method in self.methods:
                    method.steps_done += 1
                pending.append((self.first.steps_done, losses.detach()))
                if losses.device.type == "cpu" or len(pending) >= CHECK_EVERY:
                    self._check(pending, seeds, phase)
            self._check(pending, seeds, phase)

    def _own_rates(self) -> bool:
        return any(rate != 1 for group in self.rates for rate in group)

    @torch.no_grad()
    def _step(self, optimizer: Optimizer) -> None:
        """A step in which every member moves at its own rates."""
        if not self._own_rates():
            optimizer.step()
            return
        before = [[p.clone() for p in group["params"]] for group in optimizer.param_groups]
        optimizer.step()
        for group, old, rates in zip(optimizer.param_groups, before, self.rates, strict=True):
            for parameter, start in zip(group["params"], old, strict=True):
                factor = parameter.new_tensor(rates).view(-1, *[1] * (parameter.dim() - 1))
                parameter.copy_(start + factor * (parameter - start))

    def release(self) -> None:
        """Copy every member's state out of the stack."""
        for module in self.modules:
            for _, tensor in _named_state(module):
                tensor.data = tensor.data.clone()

    def _hook(self, optimizer: Optimizer) -> None:
        """Let every member's `on_before_optimizer_step` act on its own gradients."""
        for number, module in enumerate(self.modules):
            for name, parameter in module.named_parameters():
                stacked = self.parameters[name].grad
                parameter.grad = None if stacked is None else stacked[number]
            module.method.on_before_optimizer_step(optimizer)
            for name, parameter in module.named_parameters():
                stacked = self.parameters[name].grad
                if stacked is not None and parameter.grad is not None:
                    if parameter.grad.data_ptr() != stacked[number].data_ptr():
                        stacked[number].copy_(parameter.grad)  # the hook replaced it
                    parameter.grad = None

    @torch.no_grad()
    def _clip(self, optimizer: Optimizer, largest: float) -> None:
        """`clip_grad_norm_` with a norm of its own for every member."""
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"]]
        present = [gradient for gradient in gradients if gradient is not None]
        if not present:
            return
        squares = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in present])
        factor = (largest / (squares.norm(dim=0) + 1e-6)).clamp_max(1)
        for gradient in present:
            gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))

    def _check(self, pending: list[tuple[int, Tensor]], seeds: Sequence[int], phase: Phase) -> None:
        if not pending:
            return
        losses = torch.stack([loss for _, loss in pending])
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            step, member = (int(where) for where in (~finite).nonzero()[0])
            raise UserError(
                f"{type(self.first).__name__} with seed {seeds[member]}: the loss is "
                f"{float(losses[step, member])} at step {pending[step][0]}, in phase "
                f"{phase.name!r}: lower the learning rate or clip gradients"
            )
        pending.clear()


def train_stacked(
    methods: Sequence[UnlearningMethod],
    seeds: Sequence[int],
    autocast: Autocast,
    stop: Event,
    place: Place | None = None,
) -> float:
    """Train all phases of prepared members together.

    Args:
        methods: the members.
        seeds: theirs.
        autocast: makes the context in which losses are computed.
        stop: set from outside to call the training off.
        place: where checkpoints of this very stack lie; it goes on from one. None = none are kept.

    Returns:
        Seconds that the training took before it was stopped and went on; 0 for one that was not.

    Raises:
        NotStackable: they cannot be; their networks are then no longer fresh.
        UserError: a loss is not finite.
    """
    kept = KeptStack(methods, place)
    for number, _ in enumerate(methods[0].planned_phases):
        for method in methods:
            if len(method.planned_phases) != len(methods[0].planned_phases):
                raise NotStackable("the members' phases differ")
            method.enter(number)
        if number < kept.phase:
            continue
        stack = Stack(methods, autocast)
        stack.train(seeds, stop, kept)
        stack.release()
    for method in methods:
        method.net.eval()
    return kept.earlier


def _named_state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _members_innermost(batch: Any) -> Any:
    """Images `(M, B, C, H, W)` laid out so that grouped convolutions see channels last."""
    if isinstance(batch, Pair):
        return Pair(*map(_members_innermost, batch))
    if batch.x.dim() != 5:
        return batch
    x = batch.x.permute(1, 3, 4, 0, 2).contiguous().permute(3, 0, 4, 1, 2)
    return batch._replace(x=x)
