"""The scalar each model gives to each example: margins, confidences, entropies.

Everything here works on logits with any number of leading axes, ``(..., N, C)``, computes in
float64 and returns ``(..., N)``. Labels are ``(N,)`` and shared by the leading axes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from unlearn.metrics.validation import check_populations

# Logits handled at once, so that float64 temporaries stay below a few hundred megabytes.
_CHUNK = 1 << 22
# Smallest argument of a logarithm in the entropy family, as in the published attack code.
_TINY = 1e-30

Statistic = Callable[[Tensor, Tensor], Tensor]


def _true_class(logits: Tensor, labels: Tensor) -> Tensor:
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.gather(-1, index).squeeze(-1)


def _without_true_class(logits: Tensor, labels: Tensor) -> Tensor:
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.scatter(-1, index, -torch.inf)


def hinge_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """True-class logit minus the largest other logit; any real, larger is more confident."""
    logits = logits.double()
    return _true_class(logits, labels) - _without_true_class(logits, labels).amax(-1)


def logit_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """True-class logit minus the log-sum-exp of the others, the log odds of the true class."""
    logits = logits.double()
    return _true_class(logits, labels) - _without_true_class(logits, labels).logsumexp(-1)


def logit_scaled_confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """Log odds of the true class with both probabilities offset by 1e-45.

    The same quantity as `logit_margin` until a probability falls below about 1e-45; the offset
    keeps the value within [-103.7, 103.7] nats.

    Computed by NumPy, exponentials in the precision of the logits and the rest in float64, because
    the competition's scorer does so: its rules tie on a grid, and the last bit decides a tie.

    Source: Carlini et al., Membership Inference Attacks From First Principles, arXiv 2112.03570.
    """
    wide = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    values = wide.detach().cpu().numpy()
    p = np.exp(values - values.max(-1, keepdims=True)).astype(np.float64)
    p /= p.sum(-1, keepdims=True)
    index = np.broadcast_to(labels.cpu().numpy(), p.shape[:-1])[..., None]
    right = np.take_along_axis(p, index, -1)[..., 0]
    np.put_along_axis(p, index, 0.0, -1)
    odds = np.log(right + 1e-45) - np.log(p.sum(-1) + 1e-45)
    return torch.from_numpy(odds).to(logits.device)


def top_class_loss(logits: Tensor, labels: Tensor | None = None) -> Tensor:
    """Cross-entropy against the model's own arg-max class, -ln max p, in [0, ln C] nats.

    Labels play no part; the argument only lets it stand where a `Statistic` is expected.
    """
    return -logits.double().log_softmax(-1).amax(-1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy against the label in nats, at least 0."""
    return -_true_class(logits.double().log_softmax(-1), labels)


def true_class_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax probability of the label, in [0, 1]."""
    return _true_class(logits.double().softmax(-1), labels)


def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy of the softmax in nats, in [0, ln C]."""
    log_p = logits.double().log_softmax(-1)
    return -torch.special.xlogy(log_p.exp(), log_p.exp()).sum(-1)


def modified_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Entropy that knows the label: -(1 - p_y) ln p_y - sum over c != y of p_c ln(1 - p_c).

    In nats, at least 0; 0 for a confident right answer, large for a confident wrong one.

    Source: Song and Mittal, Systematic Evaluation of Privacy Risks of Machine Learning Models,
    USENIX Security 2021, arXiv 2003.10595.
    """
    p = logits.double().softmax(-1)
    index = labels.expand(p.shape[:-1]).unsqueeze(-1)
    log_rest = (1 - p).clamp_min(_TINY).log()
    others = (p * log_rest).scatter(-1, index, 0.0).sum(-1)
    right = _true_class(p, labels)
    return -(1 - right) * right.clamp_min(_TINY).log() - others


def published_modified_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """What the published attack code computes under the name of modified entropy.

    Two slips make it something else: ln p stands where ln(1 - p) is meant, and the label index
    selects whole columns, so every class that occurs anywhere in ``labels`` is treated as the
    label of every row. The value of one example thus depends on the others in the call. Only for
    comparison with tables made by that code.

    Args:
        logits: ``(N, C)``.
        labels: ``(N,)``.
    """
    p = logits.double().softmax(-1)
    occurs = torch.bincount(labels, minlength=p.shape[-1]) > 0
    weight = torch.where(occurs, 1 - p, p)
    log_p = torch.where(p > 0, p, _TINY).log()
    return -(weight * log_p).sum(-1)


def population_statistic(
    retrained: Tensor,
    unlearned: Tensor,
    labels: Tensor | None,
    statistic: Statistic,
    minimum: int = 2,
) -> tuple[Tensor, Tensor]:
    """Checks two populations and reduces each to one scalar per model and example.

    Populations that already have two axes (regression predictions, or a statistic computed
    before) are used as they are.

    Args:
        retrained: ``(models, examples, classes)`` logits or ``(models, examples)`` values.
        unlearned: the same.
        labels: ``(examples,)``, may be None for two axes.
        statistic: function of (logits, labels).
        minimum: fewest models of a kind.

    Returns:
        Two float64 tensors ``(models, examples)``.

    Raises:
        ValueError: see `check_populations`.
    """
    retrained, unlearned, labels = check_populations(retrained, unlearned, labels, minimum)
    return reduce_population(retrained, labels, statistic), reduce_population(
        unlearned, labels, statistic
    )


def reduce_population(population: Tensor, labels: Tensor | None, statistic: Statistic) -> Tensor:
    """Applies ``statistic`` to a checked population, in slabs of bounded memory."""
    if population.ndim == 2 or labels is None:
        return population.double()
    models = max(1, _CHUNK // (population.shape[1] * population.shape[2]))
    return torch.cat([statistic(slab, labels) for slab in population.split(models)])
