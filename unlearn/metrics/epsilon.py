"""Epsilon of an attack from its error rates, and the epsilon-hat metric built on it."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearn.metrics.statistics import hinge_margin, population_statistic
from unlearn.metrics.validation import check_delta, check_fraction, require

# Offset of both logarithms in epsilon-hat, part of its published definition.
_SMOOTHING = 1e-8
# Deterministic methods give a standard deviation of zero; the likelihood must stay finite.
_SIGMA_FLOOR = 1e-12


def epsilon_from_rates(
    fpr: Tensor | float, fnr: Tensor | float, delta: float, smoothing: float = 0.0
) -> Tensor:
    """Privacy loss epsilon that an attack with these error rates demonstrates at a given delta.

    epsilon = max( ln(1 - delta - fpr) - ln fnr , ln(1 - delta - fnr) - ln fpr ), where a term with
    a negative logarithm argument is ignored. An attack without any error gives infinity. An
    attack with exactly one zero rate is discarded (NaN): too few models, not evidence. NaN also
    where both terms are undefined. Values below zero are kept as they are; the scores that
    want none clamp them.

    Args:
        fpr: false positive rates in [0, 1], any shape.
        fnr: false negative rates, broadcast against ``fpr``.
        delta: in [0, 1).
        smoothing: added inside all four logarithms; 0 for the plain definition.

    Returns:
        Float64 tensor of the broadcast shape, in nats; lower means harder to tell apart.

    Raises:
        ValueError: a rate outside [0, 1] or NaN, ``delta`` outside [0, 1).

    Source: Kairouz et al., The Composition Theorem for Differential Privacy, arXiv 1311.0776, as
    used by Triantafillou et al., Are we making progress in unlearning?, arXiv 2406.09073.
    """
    delta = check_delta(delta)
    rates = torch.broadcast_tensors(check_fraction(fpr, "fpr"), check_fraction(fnr, "fnr"))
    return rates_to_epsilon(rates[0], rates[1], delta, smoothing)


def rates_to_epsilon(fpr: Tensor, fnr: Tensor, delta: float, smoothing: float = 0.0) -> Tensor:
    """`epsilon_from_rates` without checks, in the precision of its inputs."""
    first = (1 - delta - fpr + smoothing).log() - (fnr + smoothing).log()
    second = (1 - delta - fnr + smoothing).log() - (fpr + smoothing).log()
    epsilon = torch.fmax(first, second)
    none_wrong = (fpr == 0) & (fnr == 0)
    discarded = (fpr == 0) ^ (fnr == 0)
    return epsilon.masked_fill(discarded, torch.nan).masked_fill(none_wrong, torch.inf)


def epsilon_hat(
    retrained: Tensor, unlearned: Tensor, labels: Tensor | None, delta: float = 0.05
) -> Tensor:
    """Per-example epsilon of a Gaussian likelihood-ratio attack between the two populations.

    The statistic is the margin of the true class over the best other class (for regression, the
    prediction). A Gaussian is fitted to each population, every value is scored by the log ratio
    of the two densities, the population with the larger median ratio is called positive (a tie:
    the unlearned one), and epsilon is the largest over all thresholds of the detection-error
    curve.

    Models are fitted and scored in-sample, so the value is biased upwards: even two sets of
    retrained models do not reach 0. Only numbers with the same count of models compare; read each
    beside retrained-against-retrained.

    A collapsed method (every model gives the same output) cannot look good: its Gaussian is a
    spike, every retrained value is off the spike, separation is perfect and the result is
    infinity. Only if the retrained models collapse to the same point is nothing left to compare,
    which is NaN and not a small number.

    Args:
        retrained: ``(models, examples, classes)`` logits, or ``(models, examples)`` predictions.
        unlearned: the same; the number of models may differ.
        labels: ``(examples,)``; may be None for predictions.
        delta: in [0, 1).

    Returns:
        ``(examples,)`` float64, nats; lower is better. Infinity where an error-free threshold
        exists, NaN where every threshold is discarded, slightly negative values are kept.
        Aggregate with the median that ignores NaN and includes infinity.

    Raises:
        ValueError: see `check_populations`; ``delta`` outside [0, 1).

    Source: Krähenmann et al., Forget with Precision: Assessing Machine Unlearning Approaches, ETH
    Zürich, 2023. Differs from the official code: the ratio stays in the log domain (same order,
    no overflow) and standard deviations have a floor of 1e-12.
    """
    delta = check_delta(delta)
    retrained_h, unlearned_h = population_statistic(retrained, unlearned, labels, hinge_margin)
    retrained_h, unlearned_h = retrained_h.T.contiguous(), unlearned_h.T.contiguous()
    values = torch.cat([retrained_h, unlearned_h], dim=1)
    ratio = _log_density(values, unlearned_h) - _log_density(values, retrained_h)

    number = retrained_h.shape[1]
    unlearned_positive = _log_median(ratio[:, number:]) >= _log_median(ratio[:, :number])
    order = ratio.argsort(dim=1, descending=True)
    scores = ratio.gather(1, order)
    above = (order >= number).double().cumsum(1)  # unlearned models at or above each score
    rank = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=torch.float64)
    unlearned_rate = above / unlearned_h.shape[1]
    retrained_rate = (rank - above) / number

    positive = unlearned_positive[:, None]
    fpr = torch.where(positive, retrained_rate, unlearned_rate)
    fnr = 1 - torch.where(positive, unlearned_rate, retrained_rate)
    epsilon = rates_to_epsilon(fpr, fnr, delta, _SMOOTHING)
    # Of equal scores only the last is a threshold: they are above or below it together.
    inside_tie = torch.zeros_like(epsilon, dtype=torch.bool)
    inside_tie[:, :-1] = scores[:, :-1] == scores[:, 1:]
    epsilon = epsilon.masked_fill(inside_tie, torch.nan)
    best = epsilon.nan_to_num(nan=-torch.inf, posinf=torch.inf).amax(1)
    return best.masked_fill(best == -torch.inf, torch.nan)


def median_epsilon(epsilons: Tensor) -> float:
    """Median over examples: NaN ignored, infinity counted, two middle values averaged.

    Args:
        epsilons: ``(examples,)``, for instance from `epsilon_hat`.

    Returns:
        The median in nats; NaN when every value is NaN.

    Raises:
        ValueError: ``epsilons`` is not one-dimensional.
    """
    require(epsilons.ndim == 1, "epsilons", "expected shape (examples,)")
    kept = epsilons[~epsilons.isnan()].double().sort().values
    if kept.numel() == 0:
        return float("nan")
    low, high = kept[(kept.numel() - 1) // 2], kept[kept.numel() // 2]
    return float(low if low == high else (low + high) / 2)


def _log_density(values: Tensor, population: Tensor) -> Tensor:
    """Log density, up to a constant, of ``values`` (E, V) under a Gaussian per row (E, M)."""
    mean = population.mean(1, keepdim=True)
    sigma = population.std(1, correction=0, keepdim=True).clamp_min(_SIGMA_FLOOR)
    return -0.5 * ((values - mean) / sigma).square() - sigma.log()


def _log_median(log_values: Tensor) -> Tensor:
    """Log of the median of exp(log_values) per row; the middle pair is averaged outside the log."""
    ordered = log_values.sort(dim=1).values
    count = ordered.shape[1]
    pair = torch.stack([ordered[:, (count - 1) // 2], ordered[:, count // 2]])
    return pair.logsumexp(0) - torch.log(torch.tensor(2.0, dtype=torch.float64))
