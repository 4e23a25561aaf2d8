"""Floating-point operations of a run: counted, not timed, so the same on every machine.

Counted are matrix products, convolutions and attention, forward and backward, by torch's formulas
(two operations a multiplication with its addition); they are nearly all the work of a network.
Element-wise work, optimizers, augmentation and reading data are not counted.

Watching every operation would slow small networks by half. So one step of every kind is watched,
and stands for all of its kind; in the same way one batch of every size in preparations that go
through a split. Nothing is computed twice or otherwise than without counting.
"""

from collections.abc import Hashable, Iterator
from types import TracebackType
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from unlearn.data.splits import Batch
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import ProblemView


class OperationCounter(TorchDispatchMode):
    """Adds up the operations of what this thread runs while it is active.

    Attributes:
        total: operations so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = FORMULAS.get(func._overloadpacket)
        if formula is None and func not in _INDIVISIBLE:
            with self:  # inference mode hands over operations that consist of others
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
            _INDIVISIBLE.add(func)
        result = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


class PreparationCounter:
    """Counts what a method prepares; a context in which that runs.

    A pass through a split is taken to do the same for every batch of one size: the first is
    watched. Whatever else runs is watched whole.

    Args:
        view: what the method reads its data from.

    Attributes:
        total: operations so far.
    """

    def __init__(self, view: ProblemView):
        self.view, self.counter = view, OperationCounter()
        self.total, self._open, self._passing = 0, False, False

    def __enter__(self) -> "PreparationCounter":
        self._open = True
        self.view.watch = self._pass
        self._resume()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pause()
        self._open = False
        self.view.watch = None

    def _resume(self) -> None:
        if self._open and _get_current_dispatch_mode() is not self.counter:
            self.counter.__enter__()

    def _pause(self) -> None:
        if _get_current_dispatch_mode() is self.counter:
            self.counter.__exit__(None, None, None)
        self.total += self.counter.total
        self.counter.total = 0

    def _pass(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; the work between one and the next is counted."""
        if self._passing or not self._open:  # a pass inside another is part of its work
            yield from batches
            return
        self._passing = True
        known: dict[Hashable, int] = {}
        try:
            for batch in batches:
                kind = batch.x.shape
                self._pause()
                before = self.total
                if kind not in known:
                    self._resume()
                yield batch
                self._pause()
                self.total += known.get(kind, 0)
                known.setdefault(kind, self.total - before)
        finally:
            self._passing = False
            self._resume()


class StepCounter(Callback):
    """Counts the steps of a fit by the first one of every kind.

    Attributes:
        total: operations so far, of this process.
    """

    def __init__(self) -> None:
        self.total = 0
        self._known: dict[Hashable, int] = {}
        self._watching: OperationCounter | None = None

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(module, UnlearningMethod)
        self._kind = (module.phase_number, module.step_kind(batch))
        if self._kind not in self._known:
            self._watching = OperationCounter()
            self._watching.__enter__()

    def on_train_batch_end(self, *_: Any) -> None:
        if self._watching is not None:
            self._known[self._kind] = self._watching.total
            self.close()
        self.total += self._known[self._kind]

    def close(self) -> None:
        """Stop watching, also in the middle of a step that failed."""
        if self._watching is not None:
            self._watching.__exit__(None, None, None)
            self._watching = None


def _convolution_backward(grad: Any, x: Any, weight: Any, *rest: Any, **_: Any) -> int:
    """The gradients of input and weight each take as much as the convolution itself.

    torch's own formula counts groups times too much for the weight of grouped convolutions.
    """
    transposed, wanted = rest[4], rest[7]
    once = conv_flop_count(x.shape, weight.shape, grad.shape, transposed=transposed)
    return once * (wanted[0] + wanted[1])


def _fused_attention(query: Any, *rest: Any, **_: Any) -> int:
    """Self-attention with its projections, which evaluation without gradients runs as one."""
    batch, tokens, width = query.shape
    projections, products = 4 * tokens * width * width, 2 * tokens * tokens * width
    return 2 * batch * (projections + products)


# Operations that were found to consist of no others.
_INDIVISIBLE: set[Any] = set()
FORMULAS = {
    **flop_registry,
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._native_multi_head_attention: _fused_attention,
}
