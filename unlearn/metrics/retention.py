"""What remains and what it cost: relearning, gap to retraining, run time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unlearn.metrics.validation import finite, require


def relearn_time(
    accuracies: Tensor | Sequence[float], target: float, margin: float = 0.05
) -> float:
    """Steps of training on the forget set until its accuracy is back within a margin of the target.

    A method that only hid what it knew relearns faster than a model that never saw the forget set:
    compare with the retrained model's value (see `anamnesis_index`).

    Args:
        accuracies: forget accuracy before relearning (position 0) and after each step, ``(T,)``, in
            [0, 1]. What a step is (batch or epoch) is the caller's choice.
        target: forget accuracy of the original model, in [0, 1].
        margin: relative margin in [0, 1): reached at ``accuracy >= (1 - margin) * target``.

    Returns:
        Number of the first step that reaches it, 0 if nothing was unlearned, infinity if the curve
        ends before; higher is better until the retrained model's value.

    Raises:
        ValueError: empty curve, NaN, or values outside their range.

    Source: Chundawat et al., Zero-Shot Machine Unlearning, IEEE TIFS 2023, arXiv 2201.05629.
    """
    curve = finite(torch.as_tensor(accuracies, dtype=torch.float64), "accuracies")
    require(curve.ndim == 1 and curve.numel() > 0, "accuracies", "expected shape (T,), T >= 1")
    require(bool(((curve >= 0) & (curve <= 1)).all()), "accuracies", "must lie in [0, 1]")
    require(0 <= target <= 1, "target", "must lie in [0, 1]")
    require(0 <= margin < 1, "margin", "must lie in [0, 1)")
    # Single-precision accuracies must be able to reach a double-precision target exactly.
    reached = (curve >= (1 - margin) * target - 1e-6).nonzero()
    return float(reached[0]) if len(reached) else float("inf")


def anamnesis_index(relearn_unlearned: float, relearn_retrained: float) -> float:
    """Anamnesis index: relearn time of the unlearned over that of the retrained model.

    Args:
        relearn_unlearned: `relearn_time` of the unlearned model, at least 0.
        relearn_retrained: the same of the retrained model, above 0 and finite.

    Returns:
        At least 0; 1 is ideal, below 1 knowledge remained, above 1 the method overshot.

    Raises:
        ValueError: a value outside its range.

    Source: Chundawat et al., arXiv 2201.05629.
    """
    require(relearn_unlearned >= 0, "relearn_unlearned", "must be at least 0")
    usable = 0 < relearn_retrained < float("inf")
    require(usable, "relearn_retrained", "must be above 0 and finite")
    return relearn_unlearned / relearn_retrained


def average_gap(unlearned: Tensor | Sequence[float], retrained: Tensor | Sequence[float]) -> Tensor:
    """Average gap to retraining: (|dUA| + |dRA| + |dTA| + |dMIA|) / 4.

    Args:
        unlearned: ``(..., 4)``: unlearning accuracy (100 % minus forget accuracy), retain accuracy,
            test accuracy and membership attack result, in one unit (percent or fraction).
        retrained: the same of the retrained model, broadcast against ``unlearned``.

    Returns:
        ``(...)`` float64 in the unit of the inputs, at least 0; lower is better.

    Raises:
        ValueError: last axis not 4, NaN or infinite.

    Source: Fan et al., SalUn, ICLR 2024, arXiv 2310.12508.
    """
    pair = []
    for argument, values in (("unlearned", unlearned), ("retrained", retrained)):
        tensor = finite(torch.as_tensor(values, dtype=torch.float64), argument)
        require(
            tensor.ndim > 0 and tensor.shape[-1] == 4, argument, "expected UA, RA, TA, MIA last"
        )
        pair.append(tensor)
    return (pair[0] - pair[1]).abs().mean(-1)


def run_time_efficiency(unlearning_seconds: float, retraining_seconds: float) -> float:
    """How many times faster than retraining: retraining time over unlearning time.

    Args:
        unlearning_seconds: time of the method alone, without evaluation, above 0.
        retraining_seconds: time to retrain one model on the same machine, above 0.

    Returns:
        The ratio, above 0; higher is better, 1 is as slow as retraining.

    Raises:
        ValueError: a time that is not above 0 and finite.

    Source: Cadet et al., Deep Unlearn: Benchmarking Machine Unlearning, arXiv 2410.01276.
    """
    for argument, seconds in (
        ("unlearning_seconds", unlearning_seconds),
        ("retraining_seconds", retraining_seconds),
    ):
        require(0 < seconds < float("inf"), argument, f"must be above 0 and finite, got {seconds}")
    return retraining_seconds / unlearning_seconds
