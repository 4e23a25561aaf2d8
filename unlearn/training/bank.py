"""Many runs of one method, one seed each: at once where that is faster, else one after another."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event

import torch
from lightning import Callback
from torch import nn

from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView
from unlearn.training.fit import Costs, device_name, fit, peak_memory, start, synchronize
from unlearn.training.stacking.pace import choose_at_once
from unlearn.training.stacking.rehearsal import rehearse
from unlearn.training.stacking.stack import train_stacked
from unlearn.training.stacking.stackable import NotStackable, check_stacks
from unlearn.training.trainer import TrainerSettings

log = logging.getLogger(__name__)

# A fresh method, a network it may change, and its own view of the problem.
Member = tuple[UnlearningMethod, nn.Module, ProblemView]
Finished = Callable[[int, UnlearningMethod, Costs], None]


def fit_bank(
    make: Callable[[int], Member],
    seeds: Sequence[int],
    *,
    settings: TrainerSettings,
    at_once: int | None = None,
    finished: Finished,
    callbacks: Callable[[int], list[Callback]] | None = None,
) -> None:
    """Run a method once for every seed.

    Members of small networks share their steps: parameters are stacked, each member has its own
    initialisation, data order and augmentation, and the distribution of outcomes is that of single
    runs. On a CPU the members are divided among as many lanes as there are threads, which is
    faster than several threads inside each small operation.

    Args:
        make: from a seed to a member of the bank.
        seeds: of the members.
        settings: device and precision.
        at_once: members trained together; 1 = one after another, None = chosen from measured
            speed and free memory. Halved when memory runs out.
        finished: called with the seed, the method and its costs as soon as a member is done.
        callbacks: Lightning callbacks of a member that runs on its own.

    Raises:
        UserError: the method does not support the problem, or a loss is not finite.
    """
    say = log.info if len(seeds) > 1 else log.debug
    waiting = list(seeds)
    if at_once is None:
        at_once = choose_at_once(make, waiting, settings, lanes_of(settings))
    operations: int | None = None
    while waiting:
        waves = math.ceil(len(waiting) / at_once)
        wave = waiting[: math.ceil(len(waiting) / waves)]
        if len(wave) == 1:
            _alone(make, wave[0], settings, finished, callbacks)
        else:
            try:
                if operations is None:
                    method, net, view = make(wave[0])
                    check_stacks(method)
                    operations = rehearse(method, net, view, wave[0], settings)
                _together(make, wave, settings, operations, finished)
            except NotStackable as reason:
                say(f"one after another: {reason}")
                at_once = 1
                continue
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                at_once = max(1, len(wave) // 2)
                say(f"out of memory: going on with {at_once} at once")
                continue
        waiting = waiting[len(wave) :]
        say(f"{len(seeds) - len(waiting)} of {len(seeds)} done, {len(wave)} at once")


def lanes_of(settings: TrainerSettings) -> int:
    """Groups of members that train side by side: one a CPU thread, one on an accelerator."""
    return torch.get_num_threads() if settings.device.type == "cpu" else 1


def _alone(
    make: Callable[[int], Member],
    seed: int,
    settings: TrainerSettings,
    finished: Finished,
    callbacks: Callable[[int], list[Callback]] | None,
) -> None:
    method, net, view = make(seed)
    watchers = callbacks(seed) if callbacks else None
    costs = fit(method, net, view, seed=seed, settings=settings, callbacks=watchers)
    finished(seed, method, costs)


def _together(
    make: Callable[[int], Member],
    seeds: Sequence[int],
    settings: TrainerSettings,
    operations: int,
    finished: Finished,
) -> None:
    """Train all seeds side by side and publish them; each costs the same operations."""
    device = settings.device
    begin = time.perf_counter()
    lanes = min(lanes_of(settings), len(seeds))
    with _threads(1 if lanes > 1 else torch.get_num_threads()):
        members, prepare_seconds = [], []
        for seed in seeds:
            prepared = time.perf_counter()
            method, net, view = make(seed)
            check_stacks(method)
            start(method, net, view, seed, settings)
            members.append(method)
            prepare_seconds.append(time.perf_counter() - prepared)
        _train_in_lanes(members, seeds, settings, lanes)
    synchronize(device)
    seconds = (time.perf_counter() - begin) / len(seeds)
    for seed, method, prepared in zip(seeds, members, prepare_seconds, strict=True):
        costs = Costs(
            seconds=seconds,
            prepare_seconds=min(prepared, seconds),
            steps=method.steps_done,
            examples_read=method.data.examples_read,
            operations=operations,
            peak_memory=peak_memory(device),
            trained_at_once=len(seeds),
            device=device_name(device),
        )
        finished(seed, method, costs)


def _train_in_lanes(
    members: Sequence[UnlearningMethod],
    seeds: Sequence[int],
    settings: TrainerSettings,
    lanes: int,
) -> None:
    """Divide prepared members among lanes and train each lane's as one stack."""
    stop = Event()

    def train(lane: int) -> None:
        train_stacked(members[lane::lanes], seeds[lane::lanes], settings.autocast, stop)

    with ThreadPoolExecutor(lanes) as pool:
        running = [pool.submit(train, lane) for lane in range(lanes)]
        try:
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop.set()


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Operations inside use so many threads: one where lanes run side by side, so that they do
    not wait for each other's workers."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocator, of the accelerator or of the CPU, ran out."""
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or (
        "can't allocate memory" in text or "not enough memory" in text
    )
