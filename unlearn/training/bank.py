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
from unlearn.training import stopping
from unlearn.training.checkpoints import Place
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
AllFinished = Callable[[Sequence[int]], None]
Places = Callable[[Sequence[int | None]], Place | None]


def fit_bank(
    make: Callable[[int], Member],
    seeds: Sequence[int],
    *,
    settings: TrainerSettings,
    members: int | None = None,
    at_once: int | None = None,
    finished: Finished,
    all_finished: AllFinished = lambda seeds: None,
    callbacks: Callable[[int], list[Callback]] | None = None,
    places: Places = lambda stack: None,
) -> None:
    """Run a method once for every seed.

    Members of small networks share their steps: parameters are stacked, each member has its own
    initialisation, data order and augmentation, and the distribution of outcomes is that of single
    runs. On a CPU as many stacks train side by side as there are threads, one thread each, which is
    faster than several threads inside each small operation.

    All stacks of a bank have one width, which does not depend on the moment, and every seed its
    slot, see `stacks_of`. So a seed's result has the same bits whichever others are trained beside
    it, and a bank that was killed ends as if it had not been. A single run rounds
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
        finished: called with the seed, the method and its costs as soon as a member is done, to
            keep it; an error there loses the members of its stack that are not kept yet.
        all_finished: called with the seeds that were trained together after `finished` of each.
        callbacks: Lightning callbacks of a member that runs on its own.
        places: from the seeds that are trained together, None where a slot is left, to where their
            checkpoints lie; None = none are kept.

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
        wave = stacks_of(waiting, width)[: lanes_of(settings) if width > 1 else 1]
        if width == 1:
            _alone(make, waiting[0], settings, finished, callbacks, places)
        else:
            try:
                _together(make, wave, settings, operations, finished, places)
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
        done = [seed for stack in wave for seed in stack if seed is not None]
        all_finished(done)
        waiting = [seed for seed in waiting if seed not in done]
        say(f"{len(seeds) - len(waiting)} of {len(seeds)} done, {width} at once")


def stacks_of(seeds: Sequence[int], width: int) -> list[list[int | None]]:
    """Seeds in stacks of `width` slots, None where a slot is left.

    A seed always has the slot `seed % width`: kernels may round otherwise in another slot (those
    that work on vectors treat what is left over at the end on its own), as they may in a stack of
    another width, but who is in the other slots is nothing to them.
    """
    stacks: list[list[int | None]] = []
    for seed in seeds:
        slot = seed % width
        stack: list[int | None] | None = next(
            (stack for stack in stacks if stack[slot] is None), None
        )
        if stack is None:
            stack = [None] * width
            stacks.append(stack)
        stack[slot] = seed
    return stacks


def lanes_of(settings: TrainerSettings) -> int:
    """Stacks that train side by side: one a CPU thread, one on an accelerator."""
    return torch.get_num_threads() if settings.device.type == "cpu" else 1


def _alone(
    make: Callable[[int], Member],
    seed: int,
    settings: TrainerSettings,
    finished: Finished,
    callbacks: Callable[[int], list[Callback]] | None,
    places: Places,
) -> None:
    method, net, view = make(seed)
    watchers, place = callbacks(seed) if callbacks else None, places([seed])
    costs = fit(method, net, view, seed=seed, settings=settings, callbacks=watchers, place=place)
    finished(seed, method, costs)
    if place is not None:
        place.remove()


def _together(
    make: Callable[[int], Member],
    stacks: Sequence[Sequence[int | None]],
    settings: TrainerSettings,
    operations: int,
    finished: Finished,
    places: Places,
) -> None:
    """Train stacks side by side and publish their members; each costs the same operations."""
    device = settings.device
    begin = time.perf_counter()
    methods: list[list[UnlearningMethod]] = []
    kept = [places(stack) for stack in stacks]
    prepare_seconds: dict[int, float] = {}
    # A member of the stack fills the slots that are left.
    filled = [
        [next(s for s in stack if s is not None) if seed is None else seed for seed in stack]
        for stack in stacks
    ]
    threads = 1 if device.type == "cpu" else torch.get_num_threads()
    with _threads(threads):
        for drawn in filled:
            methods.append([])
            for seed in drawn:
                prepared = time.perf_counter()
                method, net, view = make(seed)
                check_stacks(method)
                start(method, net, view, seed, settings)
                methods[-1].append(method)
                prepare_seconds[seed] = time.perf_counter() - prepared
    # Who wants to stop this waits for the next step, or once all are trained until all are kept.
    with stopping.at_steps():
        with _threads(threads):
            earlier = _train_side_by_side(methods, filled, settings, kept)
        synchronize(device)
        members = [
            (seed, method)
            for stack, trained in zip(stacks, methods, strict=True)
            for seed, method in zip(stack, trained, strict=True)
            if seed is not None
        ]
        seconds = (earlier + time.perf_counter() - begin) / len(members)
        for seed, method in members:
            costs = Costs(
                seconds=seconds,
                prepare_seconds=min(prepare_seconds[seed], seconds),
                steps=method.steps_done,
                examples_read=method.data.examples_read,
                operations=operations,
                peak_memory=peak_memory(device),
                trained_at_once=len(stacks[0]),
                device=device_name(device),
            )
            finished(seed, method, costs)
        for place in kept:
            if place is not None:
                place.remove()


def _train_side_by_side(
    methods: Sequence[Sequence[UnlearningMethod]],
    seeds: Sequence[Sequence[int]],
    settings: TrainerSettings,
    kept: Sequence[Place | None],
) -> float:
    """Train every stack of prepared members in a thread of its own.

    Returns:
        Seconds that they took before they were stopped and went on.
    """
    stop = Event()

    def train(number: int) -> float:
        return train_stacked(methods[number], seeds[number], settings.autocast, stop, kept[number])

    with ThreadPoolExecutor(len(methods)) as pool:
        running = [pool.submit(train, number) for number in range(len(methods))]
        try:
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            return max(future.result() for future in done)
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
