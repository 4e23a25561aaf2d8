"""Many runs of one method, one seed each: at once where that is faster, else one after another."""

import logging
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
from unlearn.training.stacking.rehearsal import rehearse
from unlearn.training.stacking.stack import train_stacked
from unlearn.training.stacking.stackable import NotStackable, check_stacks
from unlearn.training.stacking.width import stack_width
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
    members: int | None = None,
    at_once: int | None = None,
    finished: Finished,
    callbacks: Callable[[int], list[Callback]] | None = None,
) -> None:
    """Run a method once for every seed.

    Members of small networks share their steps: parameters are stacked, each member has its own
    initialisation, data order and augmentation, and the distribution of outcomes is that of single
    runs. On a CPU as many stacks train side by side as there are threads, one thread each, which is
    faster than several threads inside each small operation.

    All stacks of a bank have one width, which does not depend on the moment: the last one is filled
    up with members that are thrown away. So a seed's result has the same bits whichever others are
    trained beside it, and a bank that was killed ends as if it had not been. A single run rounds
    otherwise than a stacked one: small_cnn on the digits differs by 5e-7 in a weight after 6 steps,
    and by 0.1 after 3 epochs, as two machines' results do.

    Args:
        make: from a seed to a member of the bank; asked again for members that fill up a stack.
        seeds: of the members to train.
        settings: device and precision.
        members: of the whole bank, where `seeds` are those that it still lacks; None = `seeds` are
            all. The only member of a bank runs on its own.
        at_once: members of a stack; 1 = one after another, None = see `stack_width`. Halved when
            memory runs out.
        finished: called with the seed, the method and its costs as soon as a member is done.
        callbacks: Lightning callbacks of a member that runs on its own.

    Raises:
        UserError: the method does not support the problem, or a loss is not finite.
    """
    members = members or len(seeds)
    say = log.info if members > 1 else log.debug
    waiting = list(seeds)
    width, operations = 1, 0
    if waiting and min(members, at_once or members) > 1 and not (settings.compile and not at_once):
        try:
            method, net, view = make(waiting[0])
            check_stacks(method)
            effort = rehearse(method, net, view, waiting[0], settings)
            width, operations = at_once or stack_width(effort, settings.device), effort.operations
        except NotStackable as reason:
            say(f"one after another: {reason}")
    while waiting:
        lanes = lanes_of(settings) if width > 1 else 1
        wave = waiting[: width * lanes]
        if width == 1:
            _alone(make, wave[0], settings, finished, callbacks)
        else:
            try:
                _together(make, wave, width, settings, operations, finished)
            except NotStackable as reason:
                say(f"one after another: {reason}")
                width = 1
                continue
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                width //= 2
                say(f"out of memory: going on with {width} at once, which may round otherwise")
                continue
        waiting = waiting[len(wave) :]
        say(f"{len(seeds) - len(waiting)} of {len(seeds)} done, {width} at once")


def lanes_of(settings: TrainerSettings) -> int:
    """Stacks that train side by side: one a CPU thread, one on an accelerator."""
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
    width: int,
    settings: TrainerSettings,
    operations: int,
    finished: Finished,
) -> None:
    """Train all seeds in stacks side by side and publish them; each costs the same operations."""
    device = settings.device
    begin = time.perf_counter()
    stacks: list[list[int]] = []
    for at in range(0, len(seeds), width):
        own = list(seeds[at : at + width])
        stacks.append(own + own[:1] * (width - len(own)))  # filled up: every stack has one width
    with _threads(1 if device.type == "cpu" else torch.get_num_threads()):
        methods: list[list[UnlearningMethod]] = []
        prepare_seconds = {}
        for stack in stacks:
            methods.append([])
            for seed in stack:
                prepared = time.perf_counter()
                method, net, view = make(seed)
                check_stacks(method)
                start(method, net, view, seed, settings)
                methods[-1].append(method)
                prepare_seconds[seed] = time.perf_counter() - prepared
        _train_side_by_side(methods, stacks, settings)
    synchronize(device)
    seconds = (time.perf_counter() - begin) / len(seeds)
    done = [method for stack in methods for method in stack][: len(seeds)]
    for seed, method in zip(seeds, done, strict=True):
        costs = Costs(
            seconds=seconds,
            prepare_seconds=min(prepare_seconds[seed], seconds),
            steps=method.steps_done,
            examples_read=method.data.examples_read,
            operations=operations,
            peak_memory=peak_memory(device),
            trained_at_once=width,
            device=device_name(device),
        )
        finished(seed, method, costs)


def _train_side_by_side(
    methods: Sequence[Sequence[UnlearningMethod]],
    seeds: Sequence[Sequence[int]],
    settings: TrainerSettings,
) -> None:
    """Train every stack of prepared members in a thread of its own."""
    stop = Event()

    def train(number: int) -> None:
        train_stacked(methods[number], seeds[number], settings.autocast, stop)

    with ThreadPoolExecutor(len(methods)) as pool:
        running = [pool.submit(train, number) for number in range(len(methods))]
        try:
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop.set()


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Operations inside use so many threads: one where stacks run side by side, so that they do
    not wait for each other's workers, and round alike whatever the machine has."""
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
