"""What a run of a stackable method costs, from one that is thrown away."""

from collections import Counter
from typing import Any

import torch
from torch import nn

from unlearn.data.loaders import Loader, PairedLoader, StackedLoader
from unlearn.data.splits import Pair
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView
from unlearn.training.fit import start
from unlearn.training.operations import OperationCounter, PreparationCounter
from unlearn.training.trainer import TrainerSettings


def rehearse(
    method: UnlearningMethod,
    net: nn.Module,
    view: ProblemView,
    seed: int,
    settings: TrainerSettings,
) -> int:
    """Floating-point operations of a run alone, from its preparation and a step of every kind.

    Members of a stack take one step together, in which nobody's share can be told; but each costs
    what it would cost alone. No random stream is disturbed.

    Args:
        method: a fresh one that `stacks`; neither it nor the other arguments are of use afterwards.
        net: a network it may change.
        view: its own view of the problem.
        seed: of the run.
        settings: device and precision.
    """
    with torch.random.fork_rng([settings.device] if settings.device.type == "cuda" else []):
        with PreparationCounter(view) as preparation:
            start(method, net, view, seed, settings)
        operations = preparation.total
        for number, phase in enumerate(method.planned_phases):
            method.enter(number)
            method.net.train(phase.mode == "train")
            for sizes, times in Counter(method.phase_loader.sizes).items():
                batch = _first(method.phase_loader, sizes)
                with OperationCounter() as step:
                    with settings.autocast():
                        loss = (phase.loss or method.loss)(batch)
                    loss.backward()
                operations += step.total * times * phase.epochs
    return operations


def _first(loader: Loader | StackedLoader | PairedLoader, sizes: Any) -> Any:
    """A batch of the first examples, or a pair of such batches."""
    if isinstance(loader, PairedLoader):
        return Pair(*map(_first, (loader.retain, loader.forget), sizes))
    assert isinstance(loader, Loader)
    return loader.batch(torch.arange(sizes))
