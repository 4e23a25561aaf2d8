"""Checks of arguments shared by every metric; each failure names the argument that is wrong."""

from __future__ import annotations

import torch
from torch import Tensor


def require(condition: bool, argument: str, problem: str) -> None:
    """Raises ``ValueError("<argument>: <problem>")`` unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"{argument}: {problem}")


def finite(values: Tensor, argument: str) -> Tensor:
    """Returns ``values`` as a floating tensor; NaN and infinities are refused by name."""
    values = torch.as_tensor(values).detach()
    if not values.is_floating_point():
        values = values.to(torch.float64)
    require(bool(torch.isfinite(values).all()), argument, "holds NaN or infinite values")
    return values


def check_logits(logits: Tensor, argument: str) -> Tensor:
    """Returns one model's logits ``(N, C)``, checked: two axes, N >= 1, C >= 2, all finite."""
    logits = finite(logits, argument)
    require(logits.ndim == 2, argument, f"expected shape (N, C), got {tuple(logits.shape)}")
    require(logits.shape[0] > 0, argument, "holds no example")
    require(logits.shape[1] > 1, argument, "needs at least two classes")
    return logits


def check_labels(labels: Tensor, argument: str, examples: int, classes: int) -> Tensor:
    """Returns class labels as int64 ``(examples,)``, checked against the number of classes."""
    labels = torch.as_tensor(labels)
    require(
        tuple(labels.shape) == (examples,),
        argument,
        f"expected shape ({examples},), got {tuple(labels.shape)}",
    )
    require(
        not labels.is_floating_point() or bool((labels == labels.round()).all()),
        argument,
        "class labels must be whole numbers",
    )
    labels = labels.long()
    low, high = int(labels.min()), int(labels.max())
    require(
        low >= 0 and high < classes,
        argument,
        f"labels run from {low} to {high}, the logits have {classes} classes",
    )
    return labels


def check_populations(
    retrained: Tensor, unlearned: Tensor, labels: Tensor | None, minimum: int = 2
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Checks a pair of populations of models that saw the same examples.

    Args:
        retrained: ``(models, examples, classes)`` logits or ``(models, examples)`` values.
        unlearned: the same, with its own number of models.
        labels: ``(examples,)`` classes; unused (None allowed) when the populations have two axes.
        minimum: fewest models of a kind that the caller can work with.

    Returns:
        The two populations and the labels, None for populations of two axes.

    Raises:
        ValueError: naming the argument of wrong shape, with too few models, a label out of range,
            or NaN or infinite values.
    """
    retrained, unlearned = finite(retrained, "retrained"), finite(unlearned, "unlearned")
    for argument, population in (("retrained", retrained), ("unlearned", unlearned)):
        require(
            population.ndim in (2, 3),
            argument,
            "expected shape (models, examples, classes) or (models, examples), "
            f"got {tuple(population.shape)}",
        )
        require(
            population.shape[0] >= minimum,
            argument,
            f"has {population.shape[0]} model(s), at least {minimum} are needed",
        )
        require(population.shape[1] > 0, argument, "holds no example")
    require(
        retrained.shape[1:] == unlearned.shape[1:],
        "unlearned",
        f"shape {tuple(unlearned.shape)} does not match retrained {tuple(retrained.shape)}",
    )
    if retrained.ndim == 2:
        if labels is not None:
            require(
                tuple(torch.as_tensor(labels).shape) == (retrained.shape[1],),
                "labels",
                f"expected shape ({retrained.shape[1]},)",
            )
        return retrained, unlearned, None
    require(retrained.shape[2] > 1, "retrained", "needs at least two classes")
    require(labels is not None, "labels", "are needed for populations of logits")
    assert labels is not None
    labels = check_labels(labels, "labels", retrained.shape[1], retrained.shape[2])
    return retrained, unlearned, labels.to(retrained.device)


def check_fraction(value: Tensor | float, argument: str) -> Tensor:
    """Returns ``value`` as float64, checked to lie in [0, 1]: a rate, not a percentage."""
    tensor = torch.as_tensor(value, dtype=torch.float64)
    inside = bool(((tensor >= 0) & (tensor <= 1)).all())
    require(inside, argument, "must be a fraction between 0 and 1")
    return tensor


def check_delta(delta: float) -> float:
    """Returns ``delta``, checked to lie in [0, 1)."""
    require(0 <= delta < 1, "delta", f"must lie in [0, 1), got {delta}")
    return float(delta)
