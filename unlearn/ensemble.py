"""Many runs of one method, one seed each: at once where that is faster, else one after another."""

from collections.abc import Callable, Sequence

from lightning import Callback
from torch import nn

from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView
from unlearn.trainer import Costs, TrainerSettings, fit

# A fresh method, a network it may change, and its own view of the problem.
Member = tuple[UnlearningMethod, nn.Module, ProblemView]


def fit_bank(
    make: Callable[[int], Member],
    seeds: Sequence[int],
    *,
    settings: TrainerSettings,
    at_once: int | None = None,
    finished: Callable[[int, UnlearningMethod, Costs], None],
    callbacks: Callable[[int], list[Callback]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Run a method once for every seed.

    Args:
        make: from a seed to a member of the bank.
        seeds: of the members.
        settings: device and precision.
        at_once: members trained together; 1 = one after another, None = chosen by measurement.
        finished: called with the seed, the method and its costs as soon as a member is done.
        callbacks: Lightning callbacks of a member that runs on its own.
        progress: told in words what is going on.

    Raises:
        UserError: the method does not support the problem, or a loss is not finite.
    """
    for number, seed in enumerate(seeds, 1):
        method, net, view = make(seed)
        watchers = callbacks(seed) if callbacks else None
        costs = fit(method, net, view, seed=seed, settings=settings, callbacks=watchers)
        finished(seed, method, costs)
        if progress is not None:
            progress(f"{number} of {len(seeds)}")
