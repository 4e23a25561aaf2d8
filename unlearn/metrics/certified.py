"""A lower bound on epsilon that holds at a stated confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearn.metrics.intervals import check_level
from unlearn.metrics.statistics import logit_scaled_confidence, population_statistic
from unlearn.metrics.validation import check_delta, require

FEWEST_MODELS = 8
_FIRST_FIT = 3  # models of a kind before the first decision
_ORDERS = 10
_STEP, _LARGEST = 0.02, 10.0  # nats, the grid of bounds


@dataclass(frozen=True)
class CertifiedEpsilon:
    """A lower bound on the epsilon of at least one forget example.

    Attributes:
        bound: nats, at least 0; 0 certifies nothing.
        largest: the bound that populations without any overlap would reach with as many models.
        delta: the delta of the epsilons.
        level: confidence.
        models: models of each kind used.
    """

    bound: float
    largest: float
    delta: float
    level: float
    models: int


def certified_epsilon(
    retrained: Tensor,
    unlearned: Tensor,
    labels: Tensor | None,
    delta: float = 0.05,
    level: float = 0.95,
    *,
    worst: float = 1.0,
    seed: int = 0,
) -> CertifiedEpsilon:
    """Lower bound on the largest epsilon among the forget examples, true with probability 95 %.

    Unlike estimates of epsilon, which are biased upwards at any number of models, the bound is
    wrong with probability at most 1 - ``level``, whatever the distributions and however the
    examples of a model depend on each other. One model's decisions on many examples are not
    independent, so only models count as trials: a Clopper-Pearson bound over models x examples
    would claim far too much. Here models are drawn one pair at a time. Before each draw a Gaussian
    likelihood-ratio attack is fitted to the models drawn so far, and wealth is staked on it:
    if every example had an epsilon of at most e,

        T + T' <= exp(e) (F + F') + 2 delta

    would hold for the expected shares T of unlearned and F of retrained models that the attack
    calls unlearned (likelihood ratio above exp(e)), and for T' and F' with the roles exchanged,
    each averaged over examples. Wealth 1, multiplied at every draw by

        (T + T' + exp(e) (2 - F - F')) / (2 (exp(e) + delta))

    does not grow in expectation then, and reaches 1 / (1 - level) with probability 1 - level at
    most. The bound is the end of the range of e, from 0, on which it does. Wealth is averaged
    over ten orders of the models, which keeps its expectation.

    Args:
        retrained: ``(models, examples, classes)`` logits, or ``(models, examples)`` statistics.
        unlearned: the same; the smaller number of models counts.
        labels: ``(examples,)``; may be None for two axes.
        delta: in [0, 1).
        level: confidence in (0, 1).
        worst: share of the examples on which the attack bets, in (0, 1]: before every draw those
            that the models drawn so far separate best. 1 bets on all of them.
        seed: of the orders.

    Returns:
        A `CertifiedEpsilon`.

    Raises:
        ValueError: fewer than eight models of a kind, an option out of range; see
            `check_populations`.

    Source: Ville 1939; Waudby-Smith and Ramdas, Estimating Means of Bounded Random Variables by
    Betting, JRSS B 2024, arXiv 2010.09686; auditing of epsilon by error rates as in Jagielski et
    al., Auditing Differentially Private Machine Learning, NeurIPS 2020, arXiv 2006.07709.
    """
    delta = check_delta(delta)
    check_level(level)
    require(0 < worst <= 1, "worst", f"must lie in (0, 1], got {worst}")
    r, u = population_statistic(
        retrained, unlearned, labels, logit_scaled_confidence, minimum=FEWEST_MODELS
    )
    models = min(len(r), len(u))
    bets = max(1, round(worst * r.shape[1]))
    epsilons = torch.arange(0, _LARGEST + _STEP / 2, _STEP, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    wealth = torch.zeros_like(epsilons)
    for _ in range(_ORDERS):
        drawn = [p[torch.randperm(len(p), generator=generator)[:models]].cpu() for p in (r, u)]
        wealth += _log_wealth(drawn[0], drawn[1], bets, epsilons, delta).exp() / _ORDERS
    # Without overlap T = T' = 1 and F = F' = 0 at every draw.
    growth = (1 + epsilons.exp()) / (epsilons.exp() + delta)
    best = growth.log() * (models - _FIRST_FIT)
    return CertifiedEpsilon(
        _end(wealth.log(), epsilons, level), _end(best, epsilons, level), delta, level, models
    )


def _end(log_wealth: Tensor, epsilons: Tensor, level: float) -> float:
    """Last epsilon from 0 on at which wealth suffices, 0 where it never does."""
    enough = int((log_wealth >= -math.log1p(-level)).long().cumprod(0).sum())
    return float(epsilons[max(enough - 1, 0)])


def _log_wealth(
    retrained: Tensor, unlearned: Tensor, bets: int, epsilons: Tensor, delta: float
) -> Tensor:
    """Log of the wealth at the end, for every epsilon, of models drawn in the order given."""
    (mean_r, variance_r), (mean_u, variance_u) = map(_running_fit, (retrained, unlearned))

    def log_ratio(values: Tensor) -> Tensor:
        by_u, by_r = (
            (values - mean).square() / variance + variance.log()
            for mean, variance in ((mean_u, variance_u), (mean_r, variance_r))
        )
        return (by_r - by_u) / 2

    apart = (mean_u - mean_r).square() / (variance_u + variance_r)
    chosen = apart.topk(bets, dim=1).indices
    ratio_r, ratio_u = (
        log_ratio(values[_FIRST_FIT:]).gather(1, chosen).sort(1).values
        for values in (retrained, unlearned)
    )
    bars = epsilons.expand(len(chosen), -1).contiguous()

    def above(ratio: Tensor) -> Tensor:
        return 1 - torch.searchsorted(ratio, bars, right=True).double() / bets

    def below(ratio: Tensor) -> Tensor:
        return torch.searchsorted(ratio, -bars).double() / bets

    caught = above(ratio_u) + below(ratio_r)
    mistaken = above(ratio_r) + below(ratio_u)
    scale = epsilons.exp()
    return ((caught + scale * (2 - mistaken)) / (2 * (scale + delta))).log().sum(0)


def _running_fit(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the models before each one, from the fourth model on."""
    centre = values[:_FIRST_FIT].mean(0)
    moved = values - centre
    count = torch.arange(_FIRST_FIT, len(values), dtype=torch.float64)[:, None]
    sums, squares = (v.cumsum(0)[_FIRST_FIT - 1 : -1] for v in (moved, moved.square()))
    mean = sums / count
    variance = (squares - count * mean.square()) / (count - 1)
    return mean + centre, variance.clamp_min(1e-24)
