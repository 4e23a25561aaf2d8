"""How many members of a bank to train at once: measured, not believed."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearn.methods.base import UnlearningMethod
from unlearn.training.fit import start, synchronize
from unlearn.training.stacking.stack import Stack
from unlearn.training.stacking.stackable import NotStackable, check_stacks
from unlearn.training.trainer import TrainerSettings

# Members in a lane, tried in this order as long as speed grows by a tenth.
SIZES = (8, 16, 32, 64, 128)
# Share of the whole work that measuring may cost.
MEASURING_SHARE = 0.05
# Bank sizes that are too small to measure are stacked when one step is shorter than this, seconds.
SHORT_STEP = 0.02
REPEATS = 3


def choose_at_once(
    make: Callable[[int], Any], seeds: Sequence[int], settings: TrainerSettings, lanes: int
) -> int:
    """Members to train at once: 1 where stacking does not pay, is not possible, or would not fit.

    Times one forward and backward pass of a single member, and of stacks of growing size.

    Args:
        make: from a seed to a member of the bank, as for `fit_bank`.
        seeds: members wanted.
        settings: device and precision.
        lanes: groups that will train side by side, one thread each.
    """
    if len(seeds) < 2 or settings.compile:
        return 1
    method, net, view = make(seeds[0])
    try:
        check_stacks(method)
        start(method, net, view, seeds[0], settings)
        if not method.planned_phases:
            return 1
        size = _measured(method, settings, lanes, len(seeds))
        return lanes * size if size > 1 else 1
    except NotStackable:
        return 1


def _measured(method: UnlearningMethod, settings: TrainerSettings, lanes: int, wanted: int) -> int:
    """Members a lane."""
    method.enter(0)
    phase, device = method.phase, settings.device
    method.net.train(phase.mode == "train")
    steps = len(method.phase_loader) * phase.epochs
    batch = next(iter(method.phase_loader))

    def single() -> Tensor:
        with settings.autocast():
            return (phase.loss or method.loss)(batch)

    seconds, needed = _time(single, device), _bytes(single, method)
    room = max(1, int(free_memory(device) / 2 / needed / lanes))
    best_size, best_pace, spent = 1, seconds, 0.0
    for size in SIZES:
        if size > room or (best_size > 1 and size * lanes >= 2 * wanted):
            break
        spent += (REPEATS + 1) * size * best_pace
        if spent > MEASURING_SHARE * steps * wanted * seconds:
            if best_size == 1 and seconds < SHORT_STEP:
                best_size = size
            break
        pace = _time_stacked(method, settings, size) / (size * lanes)
        if pace > 0.9 * best_pace:
            break
        best_size, best_pace = size, pace
    return best_size


def _time_stacked(method: UnlearningMethod, settings: TrainerSettings, size: int) -> float:
    """Seconds of a step of `size` copies of one member in one lane."""
    stack = Stack([method] * size, settings.autocast)
    batch: Any = next(iter(stack.loader))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _time(lambda: stack.losses(batch).sum(), settings.device)
    finally:
        torch.set_num_threads(threads)
        stack.release()


def _time(loss: Callable[[], Tensor], device: torch.device) -> float:
    """Shortest time of a forward and backward pass, seconds.

    Work of one CPU thread is timed by that thread's own clock, which other programs do not slow.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone else time.perf_counter
    times = []
    for _ in range(REPEATS + 1):
        synchronize(device)
        begin = clock()
        loss().backward()
        synchronize(device)
        times.append(clock() - begin)
    return min(times[1:])


def _bytes(loss: Callable[[], Tensor], method: UnlearningMethod) -> float:
    """Memory one member needs: what its backward pass keeps, gradients, optimizer, copies."""
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss()
    state = sum(p.nbytes for p in method.parameters())
    return 2.0 * kept + 6.0 * state + 1


def free_memory(device: torch.device) -> float:
    """Bytes that can still be allocated on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    information = Path("/proc/meminfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
    return 4e9
