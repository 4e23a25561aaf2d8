"""Batches from splits: device-resident where the table fits, streamed by workers where not."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import cycle, islice
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from unlearn.data.splits import Batch, Pair, Part, Split

Augment = Callable[[Tensor, torch.Generator], Tensor]
LastBatch = Literal["spread", "keep", "drop"]

# Splits whose network input is smaller than this are transformed once, not batch by batch.
INPUT_BYTES = 64e6


def batch_sizes(examples: int, batch_size: int, last_batch: LastBatch = "keep") -> list[int]:
    """Sizes of the batches of one pass.

    A step weighs a batch of four as much as one of 64, and batch norm takes its statistics from
    four examples, or from one; a model that was trained so depends on a remainder. Spreading
    leaves the number of steps as it is, no batch grows beyond `batch_size`, and all examples are
    read.

    Args:
        examples: to be divided.
        batch_size: largest size of a batch.
        last_batch: what becomes of a last batch that is not full: `spread`, all batches get the
            same size but for one example; `keep`, it stays short; `drop`, it is left out, unless
            it is the only one.
    """
    full, left = divmod(examples, batch_size)
    if not left or (last_batch == "drop" and full):
        return [batch_size] * full
    if last_batch == "spread":
        size, larger = divmod(examples, full + 1)
        return [size + 1] * larger + [size] * (full + 1 - larger)
    return [batch_size] * full + [left]


class Loader:
    """Batches of one split, every iteration in a new order when shuffled.

    Args:
        split: the examples.
        batch_size: examples a batch, at most.
        device: where batches are delivered.
        generator: CPU generator of the order; None = stored order.
        augment: batched augmentation of stored pixels on the device, where a table allows it.
        augment_generator: generator on `device` for `augment`.
        last_batch: what becomes of a last batch that is not full, see `batch_sizes`.
        resident_bytes: tables up to this size are copied to an accelerator whole.
        workers: processes that stream larger tables.
        count: told the number of examples of every batch delivered, in all processes together.
        watch: stands between the batches of a pass and who reads them, and must hand on the same.
        share: `(rank, size)` where several processes train one model: each gets its part of every
            batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        device: torch.device,
        *,
        generator: torch.Generator | None = None,
        augment: Augment | None = None,
        augment_generator: torch.Generator | None = None,
        last_batch: LastBatch = "keep",
        resident_bytes: float = 8e9,
        workers: int = 0,
        count: Callable[[int], None] | None = None,
        watch: Callable[[Iterator[Batch]], Iterator[Batch]] | None = None,
        share: tuple[int, int] = (0, 1),
    ):
        self.count, self.watch, self.share = count, watch, share
        self.split, self.batch_size, self.device = split, batch_size, device
        self.generator, self.augment, self.augment_generator = generator, augment, augment_generator
        self.last_batch = last_batch
        self.workers = workers
        self.resident = device.type == "cpu" or all(
            part.table.images.device == device or part.table.images.nbytes <= resident_bytes
            for part in split.parts
        )
        self._targets = split.targets.to(device)
        self._index = split.index.to(device)
        self._is_forget = split.is_forget.to(device)
        sizes = torch.tensor([len(part.rows) for part in split.parts])
        self._part_of = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        self._rows = split.index
        self._input: Tensor | None = None

    @cached_property
    def sizes(self) -> list[int]:
        """Examples of every batch of one pass, of all processes together."""
        return batch_sizes(len(self.split), self.batch_size, self.last_batch)

    def __len__(self) -> int:
        return len(self.sizes)

    def order(self) -> Tensor:
        """Positions in the order of the next iteration, on the CPU."""
        if self.generator is None:
            return torch.arange(len(self.split))
        return torch.randperm(len(self.split), generator=self.generator)

    def __iter__(self) -> Iterator[Batch]:
        chunks = self.order()[: sum(self.sizes)].split(self.sizes)
        if self.share[1] > 1:
            chunks = tuple(map(self._mine, chunks))
        batches = map(self.batch, chunks) if self.resident else self._streamed(chunks)
        watched = batches if self.watch is None else self.watch(batches)
        for size, batch in zip(self.sizes, watched, strict=True):
            if self.count is not None:
                self.count(size)
            yield batch

    def _mine(self, positions: Tensor) -> Tensor:
        """This process's part of a batch, one example at least."""
        rank, size = self.share
        return positions[rank::size] if len(positions) >= size else positions[:1]

    def batch(self, positions: Tensor) -> Batch:
        """The examples at `positions` (CPU, int64), in that order, augmented and transformed."""
        if self._input is None and self._fits_transformed():
            self._input = self._transformed(self._gather(torch.arange(len(self.split))))
        if self._input is None:
            return self._labelled(positions, self._transformed(self._gather(positions)))
        where = positions.to(self.device, non_blocking=True)
        return self._labelled(where, self._input.index_select(0, where))

    def _fits_transformed(self) -> bool:
        """Whether input is the same every time it is asked for, and small enough to keep."""
        if self.augment is not None or not self.resident or not len(self.split):
            return False
        if not all(isinstance(part.table.images, Tensor) for part in self.split.parts):
            return False  # read when asked for, and maybe drawn anew
        table = self.split.parts[0].table
        return len(self.split) * table.transform(table.images[:1]).nbytes <= INPUT_BYTES

    def _gather(
        self, positions: Tensor, resident: bool = True
    ) -> list[tuple[Part, Tensor, Tensor]]:
        """Per table: the part, the slots of the batch it fills, and its stored pixels."""
        pieces = []
        part_of = self._part_of[positions]
        for number, part in enumerate(self.split.parts):
            if len(self.split.parts) == 1:
                slots = torch.arange(len(positions))
            else:
                slots = (part_of == number).nonzero().squeeze(1)
                if not len(slots):
                    continue
            images = part.table.on(self.device) if resident else part.table.images
            rows = self._rows[positions[slots]].to(images.device, non_blocking=True)
            pieces.append((part, slots, images.index_select(0, rows)))
        return pieces

    def _transformed(self, pieces: list[tuple[Part, Tensor, Tensor]]) -> Tensor:
        """Network input from stored pixels, in the order of the batch."""
        outputs = []
        for part, _, pixels in pieces:
            pixels = pixels.to(self.device, non_blocking=True)
            if self.augment is not None and part.table.augmentable:
                assert self.augment_generator is not None
                pixels = self.augment(pixels, self.augment_generator)
            outputs.append(part.table.transform(pixels))
        if len(outputs) == 1:
            return outputs[0]
        slots = torch.cat([slots for _, slots, _ in pieces]).to(self.device)
        return torch.cat(outputs)[slots.argsort()]

    def _labelled(self, positions: Tensor, x: Tensor) -> Batch:
        where = positions.to(self.device, non_blocking=True)
        return Batch(
            x,
            self._targets.index_select(0, where),
            self._index.index_select(0, where),
            self._is_forget.index_select(0, where),
        )

    def _streamed(self, chunks: tuple[Tensor, ...]) -> Iterator[Batch]:
        source = _Gatherer(self)
        stream: DataLoader = DataLoader(
            source,  # type: ignore[arg-type]
            sampler=list(chunks),
            batch_size=None,
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
        )
        for positions, pieces in stream:
            parts = [(self.split.parts[n], slots, pixels) for n, slots, pixels in pieces]
            yield self._labelled(positions, self._transformed(parts))


class _Gatherer:
    """Runs in worker processes: gathers the stored pixels of one batch."""

    def __init__(self, loader: Loader):
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __getitem__(self, positions: Tensor) -> tuple[Tensor, list[tuple[int, Tensor, Tensor]]]:
        pieces = self.loader._gather(positions, resident=False)
        numbers = {id(part): n for n, part in enumerate(self.loader.split.parts)}
        return positions, [(numbers[id(part)], slots, pixels) for part, slots, pixels in pieces]


class StackedLoader:
    """The batches of many loaders side by side: every tensor gets a leading member axis.

    Every member keeps the order and the augmentation of its own loader, so that it sees what it
    would see alone. Members that read the same examples unaugmented are gathered and transformed as
    one large batch.

    Args:
        loaders: with batches of equal sizes.
    """

    def __init__(self, loaders: Sequence[Loader]):
        self.loaders, self.first = loaders, loaders[0]
        parts = self.first.split.parts
        self.shared = self.first.resident and all(
            loader.augment is None
            and len(loader.split.parts) == len(parts)
            and all(mine is its for mine, its in zip(parts, loader.split.parts, strict=True))
            for loader in loaders
        )

    @property
    def sizes(self) -> list[int]:
        """Examples that a member gets of every batch of one pass."""
        return self.first.sizes

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[Batch]:
        if not self.shared:
            for batches in zip(*self.loaders, strict=True):
                yield Batch(*map(torch.stack, zip(*batches, strict=True)))
            return
        orders = torch.stack([loader.order() for loader in self.loaders])
        for positions in orders[:, : sum(self.sizes)].split(self.sizes, dim=1):
            for loader in self.loaders:
                if loader.count is not None:
                    loader.count(positions.shape[1])
            flat = self.first.batch(positions.flatten())
            yield Batch(*(part.unflatten(0, positions.shape) for part in flat))


class PairedLoader:
    """Retain and forget batches side by side; the shorter side is cycled in fresh orders."""

    def __init__(self, retain: Loader | StackedLoader, forget: Loader | StackedLoader):
        self.retain, self.forget = retain, forget

    @property
    def sizes(self) -> list[Any]:
        """Retain and forget examples of every pair of one pass."""
        pairs = zip(cycle(self.retain.sizes), cycle(self.forget.sizes), strict=False)
        return list(islice(pairs, len(self)))

    def __len__(self) -> int:
        return max(len(self.retain), len(self.forget))

    def __iter__(self) -> Iterator[Pair]:
        sides = _cycled(self.retain), _cycled(self.forget)
        for _ in range(len(self)):
            yield Pair(next(sides[0]), next(sides[1]))


def _cycled(loader: Loader | StackedLoader) -> Iterator[Batch]:
    while True:
        yield from loader


def stack_loaders(loaders: Sequence[Loader | PairedLoader]) -> StackedLoader | PairedLoader:
    """The batches of many members side by side, paired where the members' are."""
    sides = [loader for loader in loaders if isinstance(loader, PairedLoader)]
    if not sides:
        return StackedLoader([loader for loader in loaders if isinstance(loader, Loader)])
    retain, forget = [side.retain for side in sides], [side.forget for side in sides]
    return PairedLoader(
        StackedLoader([side for side in retain if isinstance(side, Loader)]),
        StackedLoader([side for side in forget if isinstance(side, Loader)]),
    )
