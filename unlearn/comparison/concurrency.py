"""Many small pieces of work on a few threads of this process."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from unlearn.training import processes

Item = TypeVar("Item")
Result = TypeVar("Result")


def concurrently(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in the order of the items, from a few threads; numbers do not depend on them.

    Processes that train one model together ask each other in one order, so each keeps one thread.
    """
    if processes.size() > 1:
        return [work(item) for item in items]
    with one_thread_an_operation(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, items))


@contextmanager
def one_thread_an_operation() -> Iterator[None]:
    """Thousands of small operations lose more by sharing each among threads than they gain."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
