"""What a run of a stackable method takes, from one that is thrown away."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from unlearn.data.loaders import Loader, PairedLoader, StackedLoader
from unlearn.data.splits import Pair
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView
from unlearn.training.fit import start
from unlearn.training.operations import OperationCounter, PreparationCounter
from unlearn.training.stacking.stackable import NotStackable
from unlearn.training.stacking.width import Effort
from unlearn.training.trainer import TrainerSettings


def rehearse(
    method: UnlearningMethod,
    net: nn.Module,
    view: ProblemView,
    seed: int,
    settings: TrainerSettings,
) -> Effort:
    """The effort of a run alone, from its preparation and a step of every kind.

    Members of a stack take one step together, in which nobody's share can be told; but each costs
    what it would cost alone. No random stream is disturbed.

    Args:
        method: a fresh one that `stacks`; neither it nor the other arguments are of use afterwards.
        net: a network it may change.
        view: its own view of the problem.
        seed: of the run.
        settings: device and precision.

    Raises:
        NotStackable: a step draws from the global generator, which members would share.
    """
    with torch.random.fork_rng([settings.device] if settings.device.type == "cuda" else []):
        with PreparationCounter(view) as preparation:
            start(method, net, view, seed, settings)
        operations, largest, most_bytes = preparation.total, 0, 0.0
        for number, phase in enumerate(method.planned_phases):
            method.enter(number)
            method.net.train(phase.mode == "train")
            for sizes, times in Counter(method.phase_loader.sizes).items():
                batch = _first(method.phase_loader, sizes)
                before = _global_generator(settings.device)
                kept = _KeptBytes()
                with OperationCounter() as step:
                    with settings.autocast(), kept:
                        loss = (phase.loss or method.loss)(batch)
                    loss.backward()
                if not torch.equal(before, _global_generator(settings.device)):
                    raise NotStackable("steps draw random numbers (dropout)")
                operations += step.total * times * phase.epochs
                largest = max(largest, step.total)
                state = sum(p.nbytes for p in method.parameters())
                most_bytes = max(most_bytes, 2.0 * kept.total + 6.0 * state)
    return Effort(operations, largest, most_bytes)


class _KeptBytes(torch.autograd.graph.saved_tensors_hooks):
    """A context that adds up what is kept for the backward pass."""

    def __init__(self) -> None:
        self.total = 0
        super().__init__(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        self.total += tensor.nbytes
        return tensor


def _global_generator(device: torch.device) -> Tensor:
    """State of the generator that operations on a device draw from when they are given none."""
    return torch.cuda.get_rng_state() if device.type == "cuda" else torch.get_rng_state()


def _first(loader: Loader | StackedLoader | PairedLoader, sizes: Any) -> Any:
    """A batch of the first examples, or a pair of such batches."""
    if isinstance(loader, PairedLoader):
        return Pair(*map(_first, (loader.retain, loader.forget), sizes))
    assert isinstance(loader, Loader)
    return loader.batch(torch.arange(sizes))
