"""Splits: which examples, in which order, with which targets. Immutable and cheap."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from unlearn.data.tables import Table


class Batch(NamedTuple):
    """What a loss receives: network input `(B, C, H, W)`, targets, example ids, forget flags."""

    x: Tensor
    y: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs
    is_forget: Tensor


class Pair(NamedTuple):
    """A retain batch and a forget batch, as `paired` data deliver them."""

    retain: Batch
    forget: Batch


@dataclass(frozen=True)
class Part:
    """Rows of one table with their targets and forget flags, all on the CPU."""

    table: Table
    rows: Tensor
    targets: Tensor
    is_forget: Tensor

    def take(self, positions: Tensor) -> "Part":
        return replace(
            self,
            rows=self.rows[positions],
            targets=self.targets[positions],
            is_forget=self.is_forget[positions],
        )


@dataclass(frozen=True)
class Split:
    """An ordered set of examples, possibly from several tables.

    `index` of an example is its row in its own table, so results can be matched across orders.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, table: Table, rows: Tensor, *, forget: bool = False) -> "Split":
        """Rows of a table, all of them to be forgotten or none."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        flag = torch.full((len(rows),), forget)
        return cls((Part(table, rows, table.targets[rows], flag),))

    @classmethod
    def from_tensors(cls, x: Tensor, y: Tensor, *, forget: bool = False) -> "Split":
        """Network input made by a method (noise, say) with its targets; kept where it lies, and
        never augmented."""
        table = Table(x.detach(), y.detach().cpu(), augmentable=False)
        return cls.of(table, torch.arange(len(y)), forget=forget)

    def __len__(self) -> int:
        return sum(len(part.rows) for part in self.parts)

    def __add__(self, other: "Split") -> "Split":
        return Split(self.parts + other.parts)

    @property
    def targets(self) -> Tensor:
        """`(N,)` targets in order, on the CPU."""
        return torch.cat([part.targets for part in self.parts])

    @property
    def index(self) -> Tensor:
        """`(N,)` example ids in order, on the CPU."""
        return torch.cat([part.rows for part in self.parts])

    @property
    def is_forget(self) -> Tensor:
        """`(N,)` forget flags in order, on the CPU."""
        return torch.cat([part.is_forget for part in self.parts])

    def take(self, positions: Tensor | Sequence[int]) -> "Split":
        """The examples at these positions. Keeps the order within each table."""
        positions = torch.as_tensor(positions, dtype=torch.int64)
        parts, start = [], 0
        for part in self.parts:
            inside = (positions >= start) & (positions < start + len(part.rows))
            if inside.any():
                parts.append(part.take(positions[inside] - start))
            start += len(part.rows)
        return Split(tuple(parts))

    def with_targets(self, targets: Tensor) -> "Split":
        """The same examples with other targets `(N,)`, as label poisoning needs."""
        pieces = targets.cpu().split([len(part.rows) for part in self.parts])
        return Split(
            tuple(replace(part, targets=y) for part, y in zip(self.parts, pieces, strict=True))
        )
