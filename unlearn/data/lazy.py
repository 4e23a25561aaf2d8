"""Images that are read when a batch asks for them: what is too large to hold, or drawn anew."""

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

_DRAWING = RLock()  # the global generators are shared by all threads of the process


@contextmanager
def generators_kept() -> Iterator[None]:
    """Whatever is drawn inside, Python's, NumPy's and torch's global CPU generators are left as
    they were found; they are what random transforms draw from. One thread at a time."""
    with _DRAWING:
        before = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.default_generator.set_state(before[2])


def seed_generators(seed: int) -> None:
    """Start the three global CPU generators from a seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # the generator that other people's code uses
    torch.default_generator.manual_seed(seed)


def generators_now() -> tuple[object, ...]:
    """The state of the three, to be compared with another."""
    own: Any = np.random.get_state()
    return (
        random.getstate(),
        (own[1].tobytes(), *own[2:]),
        torch.default_generator.get_state().numpy().tobytes(),
    )


class Source(Protocol):
    """Examples by position."""

    def __len__(self) -> int: ...

    def images(self, rows: Sequence[int]) -> Tensor:
        """The images `(B, ...)` at these positions, read now."""
        ...


class LazyImages:
    """The images of a table that stay where they are until a batch is made of them.

    It is read like the tensor `(N, C, H, W)` of a table: `index_select` along the first axis,
    positions and slices. Every reading asks the sources again, so that random transforms are
    drawn anew, unless `fixed`: then a row is drawn from a seed of its own and is the same for
    every reader, in any order.

    Args:
        sources: whose examples follow each other.
        example: one image, for shape and type.
        fixed: the same draw at every reading.
    """

    device = torch.device("cpu")
    nbytes = math.inf  # never copied to an accelerator whole

    def __init__(self, sources: Sequence[Source], example: Tensor, *, fixed: bool = False):
        self.sources, self.fixed = sources, fixed
        self.starts = np.cumsum([0, *map(len, sources)])
        self.shape = (int(self.starts[-1]), *example.shape)
        self.dtype, self.ndim = example.dtype, example.ndim + 1

    def __len__(self) -> int:
        return self.shape[0]

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """Images at these rows, in that order; along the first axis only."""
        if dim != 0:
            raise IndexError("examples are selected along the first axis")
        if self.fixed:
            with generators_kept():
                return torch.cat([self._drawn(row) for row in rows.tolist()])
        out = torch.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        source_of = np.searchsorted(self.starts, rows.numpy(), side="right") - 1
        for number in np.unique(source_of).tolist():
            slots = torch.from_numpy(source_of == number).nonzero().squeeze(1)
            positions = (rows[slots] - int(self.starts[number])).tolist()
            out[slots] = self.sources[number].images(positions)
        return out

    def _drawn(self, row: int) -> Tensor:
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        seed_generators(row)
        return self.sources[number].images([row - int(self.starts[number])])

    def __getitem__(self, item: Any) -> Tensor:
        if isinstance(item, int):
            return self.index_select(0, torch.tensor([item % len(self)]))[0]
        return self.index_select(0, torch.arange(len(self))[item])
