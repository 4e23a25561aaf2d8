"""Datasets of one's own, read into tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from unlearn.data.examples import Examples
from unlearn.data.lazy import LazyImages, generators_kept, generators_now, seed_generators
from unlearn.data.tables import Table
from unlearn.errors import UserError

READ_TWICE = 32  # examples that show whether a dataset says the same when asked again


def read_table(examples: Sequence[Examples], *, limit: float, redraw: bool) -> tuple[Table, Tensor]:
    """A table of several datasets after each other; every example is read once to make it.

    Images of one draw are held in memory where they fit. Where they do not, they are read batch by
    batch. The global random generators are left as they were found.

    Args:
        examples: the datasets, with images of one shape.
        limit: bytes of images that may be held.
        redraw: random transforms are drawn anew at every reading, as training wants them; False =
            every example keeps one draw, the same for all models, as comparing wants them.

    Returns:
        The table, and its first image `(1, ...)` as network input.

    Raises:
        UserError: examples that cannot be read, of several shapes, not finite, or whose labels are
            not numbers of one kind.
    """
    count = sum(map(len, examples))
    with generators_kept():
        first = examples[0].read(0)[0]
    holds = count * first.numel() * first.element_size() <= limit
    if all(part.held is not None for part in examples):
        held = [cast(tuple[Tensor, Tensor], part.held) for part in examples]
        random, hashed, labels = False, hashlib.sha256(), [y for _, y in held]
        for part in examples:
            _same_shape(part, first)
            _finite(cast(tuple[Tensor, Tensor], part.held)[0], part.name)
        images = None
        if holds:
            images = held[0][0] if len(held) == 1 else torch.cat([x for x, _ in held])
        for x, _ in held:
            hashed.update(_bytes(x))
    else:
        images, labels, random, hashed = _read_through(examples, first, holds, redraw)
    targets = _joined([_whole(y, part.name) for y, part in zip(labels, examples, strict=True)])
    if images is None or (redraw and random):
        images = cast(Tensor, LazyImages(examples, first, fixed=not redraw))
    table = Table(images, targets, content=hashed.hexdigest())
    return table, table.transform(first[None])


def _read_through(
    examples: Sequence[Examples], first: Tensor, holds: bool, redraw: bool
) -> tuple[Tensor | None, list[Tensor], bool, Any]:
    """Images where they may be held, labels by dataset, whether they are random, their hash."""
    count, row, hashed = sum(map(len, examples)), 0, hashlib.sha256()
    images = torch.empty((count, *first.shape), dtype=first.dtype) if holds else None
    labels: list[Tensor] = []
    random = False
    with generators_kept():
        for part in examples:
            found = []
            for position in range(len(part)):
                # One draw an example that does not depend on what was read before it.
                seed_generators(row)
                image, label = part.read(position)
                _same_shape(part, first)
                _finite(image, part.name, position)
                if redraw and not random and position < READ_TWICE:
                    random = _is_random(part, position, image)
                    images = None if random else images
                hashed.update(_bytes(image))
                if images is not None:
                    images[row] = image
                found.append(label)
                row += 1
            labels.append(_stacked(found, part.name))
    return images, labels, random, hashed


def _bytes(images: Tensor) -> memoryview:
    return images.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _is_random(part: Examples, position: int, image: Tensor) -> bool:
    """Whether reading an example draws from a global generator, or gives another image again."""
    before = generators_now()
    again = part.read(position)[0]
    return generators_now() != before or not torch.equal(image, again)


def _stacked(labels: Sequence[Tensor], name: str) -> Tensor:
    if len({label.is_floating_point() for label in labels}) > 1:
        raise UserError(f"{name}: some labels are whole and some are real numbers; give one kind")
    return torch.tensor([label.item() for label in labels], dtype=labels[0].dtype)


def _whole(labels: Tensor, name: str) -> Tensor:
    """Labels `(N,)`: int64 class ids, or finite real numbers."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UserError(
            f"{name}: labels have shape {tuple(labels.shape)}; give one number an example (class "
            "ids instead of one-hot vectors)"
        )
    if not labels.is_floating_point():
        return labels.long()
    if not bool(labels.isfinite().all()):
        raise UserError(f"{name}: some labels are not finite; leave those examples out")
    return labels


def _joined(labels: Sequence[Tensor]) -> Tensor:
    if len({y.is_floating_point() for y in labels}) > 1:
        raise UserError(
            "retain and forget: one has whole numbers as labels and the other real ones; give both "
            "class ids, or both real numbers"
        )
    return torch.cat(list(labels))


def _same_shape(part: Examples, first: Tensor) -> None:
    if part.shape != first.shape:
        raise UserError(
            f"{part.name}: images have shape {tuple(part.shape or ())} and those of the other "
            f"sets {tuple(first.shape)}: resize them to one shape"
        )


def _finite(images: Tensor, name: str, row: int | None = None) -> None:
    if images.is_floating_point() and not bool(images.isfinite().all()):
        where = "an example" if row is None else f"example {row}"
        raise UserError(f"{name}: {where} holds values that are not finite")
