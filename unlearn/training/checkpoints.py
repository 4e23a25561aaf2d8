"""Checkpoints: a training that was stopped, killed or requeued goes on to the same bits.

Kept are the parameters and buffers of everything a method holds, its attributes that are tensors or
plain numbers, optimizers and schedules, all generators, and the position in the data. Whatever
`prepare` and `phases` make otherwise is made again, which is deterministic. A pass through the data
is drawn again from the generators as they were when it began, up to where it was left.

All of it is tensors and JSON; nothing is pickled.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from unlearn.errors import UserError
from unlearn.methods.base import UnlearningMethod
from unlearn.training import stopping

log = logging.getLogger(__name__)

Kept = tuple[dict[str, Tensor], Any]
STOPPED = 10.0  # seconds


class Place(Protocol):
    """Where the checkpoints of one training lie."""

    minutes: float

    def load(self) -> Kept | None:
        """Tensors and a JSON-able document that were saved last, None where there are none."""

    def save(self, kept: Kept) -> None:
        """Keep these instead of what was kept before."""

    def remove(self) -> None:
        """Keep nothing any more."""


class Generators:
    """All generators that some methods draw from: their own, and the global ones.

    Args:
        methods: after their start.
        device: that they run on.
    """

    def __init__(self, methods: Sequence[UnlearningMethod], device: torch.device):
        self.own = {
            f"{kind}/{number}": generator
            for number, method in enumerate(methods)
            for kind, generator in (
                ("order", method.generator),
                ("device", method.device_generator),
            )
        }
        self.cuda = device.type == "cuda"

    def state(self) -> dict[str, Tensor]:
        """The state of every generator."""
        found = {name: generator.get_state() for name, generator in self.own.items()}
        found["global"] = torch.get_rng_state()
        if self.cuda:
            found["cuda"] = torch.cuda.get_rng_state()
        return found

    def load(self, states: Mapping[str, Tensor]) -> None:
        """Go on from states of before."""
        for name, generator in self.own.items():
            generator.set_state(states[name])
        torch.set_rng_state(states["global"])
        if self.cuda:
            torch.cuda.set_rng_state(states["cuda"])


class Checkpoints:
    """Decides at every step whether a training keeps a checkpoint, and whether it goes on.

    Args:
        place: where checkpoints lie, None = none are kept.
        methods: that are kept, after their start.

    Attributes:
        saving: seconds that went into keeping them.
    """

    def __init__(self, place: Place | None, methods: Sequence[UnlearningMethod]):
        self.place, self.methods = place, methods
        self.begin = self.last = time.monotonic()
        self.saving = 0.0
        self._unheld = [] if place is None else [unheld(method) for method in methods]

    def load(self) -> Kept | None:
        """What was kept of a training that did not reach its end."""
        return None if self.place is None else self.place.load()

    def look(self, capture: Callable[[], Kept]) -> bool:
        """Between two steps: keep a checkpoint where one is due, or where the training is asked to
        end here and has lasted as long, or ten seconds: who is stopped again and again gets on.

        Returns:
            Whether to stop.
        """
        stop = stopping.asked()
        if self.place is not None:
            due = 60 * self.place.minutes
            since, due = (self.begin, min(due, STOPPED)) if stop else (self.last, due)
            if time.monotonic() - since >= due:
                self._save(capture)
        return stop

    def _save(self, capture: Callable[[], Kept]) -> None:
        assert self.place is not None
        begin = time.monotonic()
        try:
            for method, before in zip(self.methods, self._unheld, strict=True):
                if changed := [k for k, v in unheld(method).items() if before.get(k, v) != v]:
                    raise NotKept(
                        f"{type(method).__name__}.{changed[0]} changes in training and is neither "
                        "a module, a tensor nor a plain number, or its name begins with _"
                    )
            self.place.save(capture())
        except NotKept as error:
            log.warning("no checkpoints of this training: %s", error)
            self.place = None
        except UserError as error:  # a disk that is full may have room the next time
            log.warning("no checkpoint now: %s", error)
        self.last = time.monotonic()
        self.saving += self.last - begin


class NotKept(Exception):
    """A state that a checkpoint cannot hold, and why."""


class Pass:
    """One pass through a loader, which can be left between two batches and gone on with.

    Args:
        loader: the batches; every iteration draws its own order.
        generators: all that is drawn from.
        between: called before every batch, the first one too.
        taken: batches that were taken before the pass was left.
        began: the generators' states when that pass began; None = it begins now.
        found_again: called when a pass that was left is where it was.
    """

    def __init__(
        self,
        loader: Any,
        generators: Generators,
        between: Callable[["Pass"], None],
        taken: int = 0,
        began: Mapping[str, Tensor] | None = None,
        found_again: Callable[[], None] = lambda: None,
    ):
        self.loader, self.generators, self.between = loader, generators, between
        self.skipped = self.taken = taken
        self.began, self.found_again = began, found_again

    def __len__(self) -> int:
        return len(self.loader) - self.skipped

    def __iter__(self) -> Iterator[Any]:
        self.taken = self.skipped
        if self.began is None:
            self.began = self.generators.state()
        else:
            self.generators.load(self.began)
        batches = iter(self.loader)
        for _ in range(self.skipped):
            next(batches)
        self.found_again()
        for _ in range(len(self)):
            self.between(self)
            batch = next(batches)
            self.taken += 1
            yield batch


# ---- what is kept of a method ----------------------------------------------------------------


def attributes(method: UnlearningMethod) -> dict[str, Any]:
    """Attributes of a method's own that are tensors or plain numbers."""
    return {
        name: value
        for name, value in vars(method).items()
        if not name.startswith("_") and isinstance(value, Tensor | bool | int | float)
    }


def unheld(method: UnlearningMethod) -> dict[str, str]:
    """Hashes of a method's own state that `attributes` leaves out, so that it is seen to change:
    tensors and plain values in names that begin with _, in lists, tuples and mappings."""
    held = {id(tensor) for tensor in (*method.parameters(), *method.buffers())}
    left_out = {*vars(LightningModule()), *attributes(method)}
    found = {}
    for name, value in vars(method).items():
        if name in left_out or callable(value):
            continue
        try:
            tensors, document = pack(value)
        except NotKept:
            continue
        if not any(id(tensor) in held for tensor in tensors.values()):
            summed = hashlib.sha256(json.dumps(document).encode())
            for tensor in tensors.values():
                data = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
                summed.update(data.numpy().tobytes())
            found[name] = summed.hexdigest()
    return found


def set_attributes(method: UnlearningMethod, values: Mapping[str, Any]) -> None:
    """Inverse of `attributes`."""
    for name, value in values.items():
        at_home = isinstance(value, Tensor) and value.dim() > 0
        setattr(method, name, value.to(method.device) if at_home else value)


def pack(value: Any) -> Kept:
    """Nested dicts, lists and tuples of tensors and plain values, as tensors and JSON.

    Raises:
        NotKept: something else is among them.
    """
    tensors: dict[str, Tensor] = {}

    def packed(value: Any) -> Any:
        if isinstance(value, Tensor):
            name = str(len(tensors))
            tensors[name] = value
            # Fused optimizers read their state in the order of memory, and files have one order.
            strides = list(torch.empty_like(value, device="meta").stride())
            return {"tensor": [name, strides]}
        if value is None or isinstance(value, bool | int | float | str):
            return {"value": value}
        if isinstance(value, Mapping):
            return {"items": [[packed(key), packed(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [packed(item) for item in value]}
        raise NotKept(f"its state holds a {type(value).__name__}")

    return tensors, packed(value)


def unpack(kept: Kept) -> Any:
    """Inverse of `pack`."""
    tensors, document = kept

    def unpacked(node: Mapping[str, Any]) -> Any:
        ((kind, value),) = node.items()
        if kind == "tensor":
            name, strides = value
            tensor = tensors[name]
            return torch.empty_strided(tensor.shape, strides, dtype=tensor.dtype).copy_(tensor)
        if kind == "items":
            return {unpacked(key): unpacked(item) for key, item in value}
        if kind in ("list", "tuple"):
            items = [unpacked(item) for item in value]
            return tuple(items) if kind == "tuple" else items
        return value

    return unpacked(document)


def optimizer_state(optimizer: Optimizer, schedule: LRScheduler | None) -> dict[str, Any]:
    """State of an optimizer and its schedule."""
    return {
        "optimizer": optimizer.state_dict(),
        "schedule": None if schedule is None else schedule.state_dict(),
    }


def load_optimizer(
    optimizer: Optimizer, schedule: LRScheduler | None, state: Mapping[str, Any]
) -> None:
    """Inverse of `optimizer_state`."""
    optimizer.load_state_dict(state["optimizer"])
    if schedule is not None:
        schedule.load_state_dict(state["schedule"])
