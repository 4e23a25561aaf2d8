"""Epsilon of an attack from its error rates, and the epsilon-hat metric built on it."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearn.metrics.statistics import hinge_margin, population_statistic
from unlearn.metrics.validation import check_delta, require

# Offset of both logarithms in epsilon-hat, part of its published definition.
_SMOOTHING = 1e-8
# Deterministic methods give a standard deviation of zero; the likelihood must stay finite.
_SIGMA_FLOOR = 1e-12


def rates_to_epsilon(fpr: Tensor, fnr: Tensor, delta: float, smoothing: float = 0.0) -> Tensor:
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
        The broadcast shape in the precision of the inputs, in nats; lower means harder to tell
        apart.

    Source: Kairouz et al., The Composition Theorem for Differential Privacy, arXiv 1311.0776, as
    used by Triantafillou et al., Are we making progress in unlearning?, arXiv 2406.09073.
    """
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
    retrained_score, unlearned_score = log_likelihood_ratios(retrained, unlearned, labels)
    retrained_score, unlearned_score = (
        retrained_score.T.contiguous(),
        unlearned_score.T.contiguous(),
    )
    unlearned_positive = _log_median(unlearned_score) >= _log_median(retrained_score)
    unlearned_above, retrained_above = _rates_above(unlearned_score, retrained_score)
    positive = unlearned_positive[:, None]
    fpr = torch.where(positive, retrained_above, unlearned_above)
    fnr = 1 - torch.where(positive, unlearned_above, retrained_above)
    return largest_epsilon(fpr, fnr, delta, _SMOOTHING)


def log_likelihood_ratios(
    retrained: Tensor, unlearned: Tensor, labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    """In-sample scores of epsilon-hat's attack: log density under unlearned minus under retrained.

    Args:
        retrained: ``(models, examples, classes)`` logits, or ``(models, examples)`` predictions.
        unlearned: the same; the number of models may differ.
        labels: ``(examples,)``; may be None for predictions.

    Returns:
        Scores of the retrained and of the unlearned models, ``(models, examples)`` each, nats;
        larger speaks for unlearned.

    Raises:
        ValueError: see `check_populations`.
    """
    retrained_h, unlearned_h = population_statistic(retrained, unlearned, labels, hinge_margin)
    pooled = torch.cat([retrained_h, unlearned_h])
    score = _log_density(pooled, unlearned_h) - _log_density(pooled, retrained_h)
    return score[: len(retrained_h)], score[len(retrained_h) :]


def largest_epsilon(fpr: Tensor, fnr: Tensor, delta: float, smoothing: float = 0.0) -> Tensor:
    """Largest epsilon over the last axis of error rates; NaN entries and discarded rules ignored.

    Args:
        fpr: ``(..., T)`` false positive rates.
        fnr: ``(..., T)`` false negative rates.
        delta: in [0, 1).
        smoothing: see `rates_to_epsilon`.

    Returns:
        ``(...)`` in nats, NaN where no rule is left.
    """
    epsilon = rates_to_epsilon(fpr, fnr, check_delta(delta), smoothing)
    best = torch.where(epsilon.isnan(), -torch.inf, epsilon).amax(-1)
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


def _rates_above(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Share of each kind at or above each pooled score, from high to low; NaN inside ties."""
    scores, order = torch.cat([first, second], -1).sort(dim=-1, descending=True)
    first_above = (order < first.shape[-1]).double().cumsum(-1)
    rank = torch.arange(1, scores.shape[-1] + 1, dtype=torch.float64, device=scores.device)
    inside_tie = torch.zeros_like(scores, dtype=torch.bool)
    # Of equal scores only the last is a threshold: they are at or above it together.
    inside_tie[..., :-1] = scores[..., :-1] == scores[..., 1:]
    first_above = first_above.masked_fill(inside_tie, torch.nan)
    return first_above / first.shape[-1], (rank - first_above) / second.shape[-1]


def _log_density(values: Tensor, population: Tensor) -> Tensor:
    """Log density, up to a constant, of ``values`` (V, E) under a Gaussian per example (M, E)."""
    sigma = population.std(0, correction=0).clamp_min(_SIGMA_FLOOR)
    return -0.5 * ((values - population.mean(0)) / sigma).square() - sigma.log()


def _log_median(log_values: Tensor) -> Tensor:
    """Log of the median of exp(log_values) per row; the middle pair is averaged outside the log."""
    ordered = log_values.sort(dim=-1).values
    count = ordered.shape[-1]
    pair = torch.stack([ordered[:, (count - 1) // 2], ordered[:, count // 2]])
    return pair.logsumexp(0) - torch.log(torch.tensor(2.0, dtype=torch.float64))
