"""Forgetting quality: the score of the NeurIPS 2023 unlearning competition and its relatives.

Three protocols, never to be mixed in one table:

``competition``  the official scorer: true-class statistic, its grid of thresholds and intervals
``notebook``     the earlier public scoring notebook that the GISA report used: label-free statistic
``exact``        the competition's attacks on every distinct threshold and interval, no grid

All depend on the number of models; report it with every score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from unlearn.metrics.epsilon import rates_to_epsilon
from unlearn.metrics.logistic import FEWEST_MODELS, logistic_attack_rates
from unlearn.metrics.statistics import (
    logit_scaled_confidence,
    population_statistic,
    reduce_population,
    top_class_loss,
)
from unlearn.metrics.thresholds import competition_epsilons, exact_epsilons, one_sided_epsilons
from unlearn.metrics.validation import check_delta, check_labels, check_populations, finite, require

Protocol = Literal["competition", "notebook", "exact"]
Attack = Literal["threshold", "logistic"]

_DELTA = {"competition": 1e-5, "notebook": 0.01, "exact": 1e-5}
_BUCKET = 0.5
_NOTEBOOK_EDGES = 13


@dataclass(frozen=True)
class ForgettingQuality:
    """A forgetting-quality score with all that is needed to know what it may be compared with.

    Attributes:
        score: mean points over examples, in [0, 1]; higher is better.
        epsilons: ``(examples,)`` float64, nats; lower is better. NaN: every rule was discarded.
        points: ``(examples,)`` float64 in [0, 1], what each example earns; ``score`` is their mean.
        protocol: ``competition``, ``notebook`` or ``exact``.
        num_models: models of each kind.
        delta: the delta of the epsilons.
        attacks: names of the attack families used.
        simulated_retrained: the retrained outputs are one model plus noise, not a population.
    """

    score: float
    epsilons: Tensor
    points: Tensor
    protocol: Protocol
    num_models: int
    delta: float
    attacks: tuple[str, ...]
    simulated_retrained: bool = False


def forgetting_quality(
    retrained: Tensor,
    unlearned: Tensor,
    labels: Tensor | None,
    protocol: Protocol = "competition",
    delta: float | None = None,
    *,
    attacks: tuple[Attack, ...] = ("threshold", "logistic"),
    simulated_retrained: bool = False,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> ForgettingQuality:
    """Forgetting quality F of a population of unlearned models against retrained ones.

    Every example gets an epsilon, the most that a family of attacks can tell the two populations
    apart on it; epsilon falls into buckets of width 0.5 worth 1, 1/2, 1/4, ...; F is the mean.

    ``competition`` and ``exact``: statistic logit-scaled confidence of the label. Positive is
    the population with the larger median for "value >= t", the narrower one (by range) for
    "left <= value <= right". Epsilon is capped at 50. Buckets end at ceil(ln(N - 1)); from
    there on an example earns nothing.

    ``notebook``: statistic cross-entropy against the model's own arg-max class. Attacks: the
    one-sided threshold "value > t means unlearned" and a cross-validated logistic regression
    (left out, and missing from ``.attacks``, below six models). Thirteen buckets, the last open.

    A collapsed method (constant outputs) scores 0 under ``competition`` and ``exact``: if one
    range is below 1 % of the other, epsilon is 50 at once, and two different constants are
    separated perfectly. If both populations are the same constant no rule survives; the epsilon is
    NaN and earns nothing. ``notebook`` has no such guard: a constant inside the retrained range
    can reach a score of 1, and so can any shift against its one direction. It is there to compare
    with published numbers, never to rank methods.

    Args:
        retrained: ``(models, examples, classes)`` logits, or ``(models, examples)`` predictions of
            a regression (or a statistic computed before), used as they are. With
            ``simulated_retrained`` logits, of which the first model's are used.
        unlearned: the same, with the same number of models (any number if simulated).
        labels: ``(examples,)``; may be None for predictions.
        protocol: see above.
        delta: in [0, 1); None takes the protocol's own, 1e-5 or (notebook) 0.01.
        attacks: which attacks ``notebook`` makes; the other protocols ignore it.
        simulated_retrained: ``notebook`` only. Makes the retrained outputs from one model by adding
            Gaussian noise to its logits, standard deviation a tenth of that of all unlearned
            statistics. It reproduces how published numbers came about; it is not a distribution
            of retrained models, so the result is labelled.
        seed: of the noise, on a generator of its own.
        generator: noise source instead of ``seed``; on the logits' device.

    Returns:
        A `ForgettingQuality`.

    Raises:
        ValueError: unknown protocol or attack; unequal numbers of models; see `check_populations`.

    Source: Triantafillou et al., Are we making progress in unlearning? Findings from the first
    NeurIPS unlearning competition, arXiv 2406.09073, with its scorer
    google-deepmind/unlearning_evaluation; Gorinova's public scoring notebook. Differs from the
    official scorer: examples are batched, and a call with all rules discarded gives NaN where the
    scorer stops with an error. Differs from the notebook: epsilon starts at 0 in every variant, and
    NaN logits are refused instead of replaced by zeros.
    """
    require(protocol in get_args(Protocol), "protocol", f"is none of {get_args(Protocol)}")
    require(
        len(attacks) > 0 and set(attacks) <= set(get_args(Attack)),
        "attacks",
        f"choose from {get_args(Attack)}",
    )
    delta = check_delta(_DELTA[protocol] if delta is None else delta)
    if simulated_retrained:
        require(protocol == "notebook", "simulated_retrained", "only with protocol='notebook'")
        retrained = _simulate(retrained, unlearned, labels, seed, generator)
    statistic = top_class_loss if protocol == "notebook" else logit_scaled_confidence
    retrained_s, unlearned_s = population_statistic(retrained, unlearned, labels, statistic)
    models = unlearned_s.shape[0]
    require(
        retrained_s.shape[0] == models,
        "unlearned",
        f"has {models} models but retrained {retrained_s.shape[0]}; epsilon needs equal numbers",
    )

    if protocol == "notebook":
        names: tuple[str, ...] = tuple(
            a for a in attacks if a != "logistic" or models >= FEWEST_MODELS
        )
        require(len(names) > 0, "attacks", f"'logistic' needs {FEWEST_MODELS} models of a kind")
        epsilons = _notebook_epsilons(retrained_s, unlearned_s, delta, names)
        points = _notebook_points(epsilons)
    else:
        names = ("threshold", "interval")
        family = competition_epsilons if protocol == "competition" else exact_epsilons
        epsilons = family(retrained_s, unlearned_s, delta)
        points = bucket_points(epsilons, models)
    score = float(points.sum() / points.numel())
    return ForgettingQuality(
        score, epsilons, points, protocol, models, delta, names, simulated_retrained
    )


def bucket_points(epsilons: Tensor, num_models: int) -> Tensor:
    """Points of the competition: 2^-k for epsilon in [k/2, (k+1)/2), nothing at the end.

    Buckets are counted as long as they end at or below ceil(ln(num_models - 1)), the size of the
    largest epsilon that this many models can show. NaN earns nothing.

    Args:
        epsilons: ``(examples,)`` nats, at least 0.
        num_models: models of each kind, at least 2 (with which every score is 0).

    Returns:
        ``(examples,)`` float64 in [0, 1]; higher is better.

    Raises:
        ValueError: fewer than two models.
    """
    require(num_models >= 2, "num_models", "at least 2")
    buckets = int(math.ceil(math.log(num_models - 1)) / _BUCKET)
    index = (epsilons.double() / _BUCKET).floor()
    return torch.where((index >= 0) & (index < buckets), torch.exp2(-index), 0.0)


def competition_score(
    forgetting: float,
    retain_accuracy_unlearned: Tensor | float,
    retain_accuracy_retrained: Tensor | float,
    test_accuracy_unlearned: Tensor | float,
    test_accuracy_retrained: Tensor | float,
    *,
    most: float = math.inf,
) -> float:
    """Final score of the competition: F x (RA_U / RA_R) x (TA_U / TA_R).

    Args:
        forgetting: forgetting quality F in [0, 1].
        retain_accuracy_unlearned: retain accuracy, one number or one per model (then averaged), in
            any unit shared with its retrained counterpart.
        retain_accuracy_retrained: the same of the retrained models.
        test_accuracy_unlearned: the same on the test set.
        test_accuracy_retrained: the same of the retrained models.
        most: largest factor of utility; 1 gives no credit for more accuracy than retraining has.
            The competition knows no bound.

    Returns:
        The score, at least 0; higher is better. Above F where utility beats retraining.

    Raises:
        ValueError: F outside [0, 1], a negative accuracy, or a retrained accuracy of 0.

    Source: Triantafillou et al., arXiv 2406.09073.
    """
    require(0 <= forgetting <= 1, "forgetting", f"must lie in [0, 1], got {forgetting}")
    named = {
        "retain_accuracy_unlearned": retain_accuracy_unlearned,
        "retain_accuracy_retrained": retain_accuracy_retrained,
        "test_accuracy_unlearned": test_accuracy_unlearned,
        "test_accuracy_retrained": test_accuracy_retrained,
    }
    mean = {
        k: float(finite(torch.as_tensor(v, dtype=torch.float64), k).mean())
        for k, v in named.items()
    }
    for argument, value in mean.items():
        lowest_wrong = argument.endswith("retrained") and value == 0
        require(value >= 0 and not lowest_wrong, argument, f"not usable as an accuracy: {value}")
    retain = mean["retain_accuracy_unlearned"] / mean["retain_accuracy_retrained"]
    test = mean["test_accuracy_unlearned"] / mean["test_accuracy_retrained"]
    return forgetting * min(retain, most) * min(test, most)


def _notebook_epsilons(
    retrained: Tensor, unlearned: Tensor, delta: float, attacks: tuple[str, ...]
) -> Tensor:
    best = torch.zeros(retrained.shape[1], dtype=torch.float64, device=retrained.device)
    if "threshold" in attacks:
        best = torch.fmax(best, one_sided_epsilons(retrained, unlearned, delta))
    if "logistic" in attacks:
        fpr, fnr = logistic_attack_rates(retrained, unlearned)
        epsilon = rates_to_epsilon(fpr, fnr, delta)
        # The notebook takes an attack that is always wrong for a perfect one.
        always_wrong = (fpr == 1) & (fnr == 1) & epsilon.isnan()
        best = torch.fmax(best, epsilon.masked_fill(always_wrong, torch.inf))
    return best


def _notebook_points(epsilons: Tensor) -> Tensor:
    edges_at_or_below = (epsilons / _BUCKET).floor().clamp(0, _NOTEBOOK_EDGES - 1) + 1
    return 2 / torch.exp2(edges_at_or_below)


def _simulate(
    retrained: Tensor,
    unlearned: Tensor,
    labels: Tensor | None,
    seed: int,
    generator: torch.Generator | None,
) -> Tensor:
    """One retrained model's logits plus noise, as many times as there are unlearned models."""
    require(
        retrained.ndim == 3 and retrained.shape[0] > 0,
        "retrained",
        "simulated_retrained wants logits, shape (1, examples, classes)",
    )
    retrained = retrained[:1]
    unlearned, _, _ = check_populations(unlearned, unlearned, labels)
    finite(retrained, "retrained")
    if labels is not None:
        check_labels(labels, "labels", unlearned.shape[1], unlearned.shape[2])
    spread = reduce_population(unlearned, labels, top_class_loss).std(correction=0) / 10
    if generator is None:
        generator = torch.Generator(device=retrained.device).manual_seed(seed)
    shape = (unlearned.shape[0], *retrained.shape[1:])
    noise = torch.randn(shape, dtype=torch.float64, device=retrained.device, generator=generator)
    return retrained.double() + spread * noise
