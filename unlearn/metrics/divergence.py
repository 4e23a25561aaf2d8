"""Distances between two models: of their outputs on the same examples, and of their weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unlearn.metrics.validation import finite, require


def kl(p_logits: Tensor, q_logits: Tensor) -> float:
    """Kullback-Leibler divergence KL(p || q) of two softmax outputs, averaged over examples.

    Args:
        p_logits: ``(N, C)``, usually the reference (retrained) model.
        q_logits: ``(N, C)``, usually the unlearned model.

    Returns:
        Nats, at least 0, summed over classes; lower is closer.

    Raises:
        ValueError: shapes differ or are not ``(N, C)``, NaN or infinite logits.
    """
    log_p, log_q = _log_probabilities(p_logits, q_logits, ("p_logits", "q_logits"))
    return float(_kl(log_p, log_q).mean())


def js(p_logits: Tensor, q_logits: Tensor) -> float:
    """Jensen-Shannon divergence of two softmax outputs, averaged over examples.

    (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, natural logarithm, summed over classes.

    Args:
        p_logits: ``(N, C)``.
        q_logits: ``(N, C)``.

    Returns:
        Nats in [0, ln 2]; lower is closer.

    Raises:
        ValueError: shapes differ or are not ``(N, C)``, NaN or infinite logits.

    Source: Lin, Divergence Measures Based on the Shannon Entropy, IEEE Trans. Inf. Theory 1991.
    """
    log_p, log_q = _log_probabilities(p_logits, q_logits, ("p_logits", "q_logits"))
    log_m = _log_mixture(log_p, log_q)
    return float((_kl(log_p, log_m) + _kl(log_q, log_m)).mean() / 2)


def distances_to(references: Tensor, logits: Tensor) -> dict[str, Tensor]:
    """Distances of one model to each of many, averaged over examples.

    Args:
        references: ``(M, N, C)`` log-probabilities of the reference models, see `log_softmax`.
        logits: ``(N, C)`` of the model.

    Returns:
        ``(M,)`` float64 by name: `kl` (of the reference from the model) and `js` in nats,
        `activation_distance`, `agreement`, each as the function of one pair defines it.

    Raises:
        ValueError: shapes differ, NaN or infinite values.
    """
    require(references.ndim == 3, "references", "expected shape (M, N, C)")
    require(references.shape[1:] == logits.shape, "logits", "shape differs from the references'")
    log_q = log_softmax(logits)
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("kl", "js", "activation_distance", "agreement")
    }
    classes = log_q.argmax(1)
    for log_p in references:
        log_m = _log_mixture(log_p, log_q)
        found["kl"].append(_kl(log_p, log_q).mean())
        found["js"].append((_kl(log_p, log_m) + _kl(log_q, log_m)).mean() / 2)
        found["activation_distance"].append((log_p.exp() - log_q.exp()).norm(dim=1).mean())
        found["agreement"].append((log_p.argmax(1) == classes).double().mean())
    return {name: torch.stack(values) for name, values in found.items()}


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities in float64, of finite logits.

    Raises:
        ValueError: NaN or infinite logits.
    """
    return finite(logits, "logits").double().log_softmax(-1)


def zrf(unlearned_logits: Tensor, incompetent_logits: Tensor, legacy: bool = False) -> float:
    """Zero Retrain Forgetting: 1 minus the JS divergence to an untrained network's outputs.

    Near 1 the model is as random on the forget set as a network that never learned. Constant
    outputs come close to that by construction; the target is the retrained model's value, and
    the score means nothing without the accuracies beside it.

    Args:
        unlearned_logits: ``(N, C)`` on forget examples.
        incompetent_logits: ``(N, C)`` of a freshly initialised network on the same examples.
        legacy: the scale of the published code: arguments of the KL terms exchanged, and averaged
            over examples and classes. Only for comparison with tables made by it.

    Returns:
        In [1 - ln 2, 1] (legacy: at most 1, no lower bound); higher is more random.

    Raises:
        ValueError: shapes differ or are not ``(N, C)``, NaN or infinite logits.

    Source: Chundawat et al., Can Bad Teaching Induce Forgetting?, AAAI 2023, arXiv 2205.08096.
    """
    names = ("unlearned_logits", "incompetent_logits")
    log_p, log_q = _log_probabilities(unlearned_logits, incompetent_logits, names)
    log_m = _log_mixture(log_p, log_q)
    if legacy:
        divergence = (_kl(log_m, log_p) + _kl(log_m, log_q)).mean() / 2 / log_p.shape[1]
    else:
        divergence = (_kl(log_p, log_m) + _kl(log_q, log_m)).mean() / 2
    return float(1 - divergence)


def activation_distance(first_logits: Tensor, second_logits: Tensor) -> float:
    """Mean Euclidean distance of two models' softmax outputs.

    Args:
        first_logits: ``(N, C)``.
        second_logits: ``(N, C)``.

    Returns:
        In [0, sqrt(2)]; lower is closer.

    Raises:
        ValueError: shapes differ or are not ``(N, C)``, NaN or infinite logits.

    Source: Golatkar et al., Forgetting Outside the Box, ECCV 2020, arXiv 2003.02960.
    """
    names = ("first_logits", "second_logits")
    log_p, log_q = _log_probabilities(first_logits, second_logits, names)
    return float((log_p.exp() - log_q.exp()).norm(dim=1).mean())


def prediction_agreement(first_logits: Tensor, second_logits: Tensor) -> float:
    """Share of examples on which two models predict the same class.

    Args:
        first_logits: ``(N, C)``.
        second_logits: ``(N, C)``.

    Returns:
        In [0, 1]; higher is closer.

    Raises:
        ValueError: shapes differ or are not ``(N, C)``, NaN or infinite logits.
    """
    names = ("first_logits", "second_logits")
    first, second = _log_probabilities(first_logits, second_logits, names)
    return float((first.argmax(1) == second.argmax(1)).double().mean())


def weight_distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Euclidean distance of two models' weights, all tensors together.

    Args:
        first: named tensors, for instance a ``state_dict`` or ``dict(named_parameters())``. Integer
            tensors (batch counters) are left out.
        second: the same names and shapes.

    Returns:
        At least 0; lower is closer.

    Raises:
        ValueError: names or shapes differ, no floating tensor, NaN or infinite weights.
    """
    layers = weight_distance_per_layer(first, second)
    return float(torch.tensor(list(layers.values()), dtype=torch.float64).norm())


def weight_distance_per_layer(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor]
) -> dict[str, float]:
    """Euclidean distance of two models' weights, layer by layer.

    A layer is what shares a name up to the last dot: weight and bias of one module together.

    Args:
        first: named tensors, see `weight_distance`.
        second: the same names and shapes.

    Returns:
        Layer name to distance, in the order of ``first``. The squares add up to that of
        `weight_distance`.

    Raises:
        ValueError: names or shapes differ, no floating tensor, NaN or infinite weights.
    """
    missing = set(first) ^ set(second)
    require(not missing, "second", f"names differ: {sorted(missing)[:3]}")
    squares: dict[str, float] = {}
    for name, tensor in first.items():
        other = second[name]
        require(tensor.shape == other.shape, "second", f"shape of {name} differs")
        if not tensor.is_floating_point():
            continue
        difference = finite(tensor.detach().double() - other.detach().double(), f"second[{name!r}]")
        layer = name.rpartition(".")[0] or name
        squares[layer] = squares.get(layer, 0.0) + float(difference.square().sum())
    require(bool(squares), "first", "holds no floating-point tensor")
    return {layer: square**0.5 for layer, square in squares.items()}


def _log_probabilities(
    first: Tensor, second: Tensor, arguments: tuple[str, str]
) -> tuple[Tensor, Tensor]:
    first, second = finite(first, arguments[0]), finite(second, arguments[1])
    require(
        first.ndim == 2 and first.shape[0] > 0,
        arguments[0],
        f"expected shape (N, C), got {tuple(first.shape)}",
    )
    require(
        first.shape == second.shape,
        arguments[1],
        f"shape {tuple(second.shape)} does not match {tuple(first.shape)}",
    )
    return first.double().log_softmax(1), second.double().log_softmax(1)


def _log_mixture(log_p: Tensor, log_q: Tensor) -> Tensor:
    return torch.logaddexp(log_p, log_q) - torch.log(torch.tensor(2.0, dtype=torch.float64))


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(1).clamp_min(0)  # rounding can fall below
