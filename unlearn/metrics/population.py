"""Attacks and distances between a population of unlearned and one of retrained models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearn.metrics.roc import auc, best_accuracy, tpr_at_fpr
from unlearn.metrics.statistics import (
    logit_margin,
    logit_scaled_confidence,
    population_statistic,
    reduce_population,
    true_class_probability,
)
from unlearn.metrics.validation import check_populations, require

__all__ = [
    "AttackResult",
    "klom",
    "rmia",
    "u_lira",
]

_SIGMA_FLOOR = 1e-12
_PROBABILITY_FLOOR = 1e-300
_CLIP = 100.0
_BINS = 20
_BIN_FLOOR = 1e-5


@dataclass(frozen=True)
class AttackResult:
    """Outcome of an attack that says which population a model comes from, one example at a time.

    Positive is "unlearned". For perfect unlearning AUC is 0.5 and each true positive rate equals
    its false positive rate; distance from that, in either direction, is bad.

    Attributes:
        accuracy: balanced accuracy, the mean of ``per_example``, in [0, 1].
        auc: area under the curve of all scores pooled, in [0, 1].
        tpr_at_1_percent_fpr: true positive rate at a false positive rate of 0.01.
        tpr_at_0_1_percent_fpr: the same at 0.001.
        per_example: ``(examples,)`` float64, accuracy of the attack on the models of that example;
            lower is better.
        unlearned_scores: ``(models, examples)`` scores of the unlearned models, held out.
        retrained_scores: ``(models, examples)`` scores of the retrained models, held out.
    """

    accuracy: float
    auc: float
    tpr_at_1_percent_fpr: float
    tpr_at_0_1_percent_fpr: float
    per_example: Tensor
    unlearned_scores: Tensor
    retrained_scores: Tensor


def u_lira(retrained: Tensor, unlearned: Tensor, labels: Tensor | None) -> AttackResult:
    """U-LiRA: per-example Gaussian likelihood-ratio attack, scored on held-out models.

    On every example one Gaussian is fitted to the logit-scaled confidences of the unlearned models
    and one to those of the retrained models. A model's score is the log ratio of the two densities
    at its own confidence; above 0 it is called unlearned. No model is scored by a fit it took part
    in: each is left out together with one partner of the other population, so that both kinds are
    scored by fits of the same sizes and equal populations give 0.5 without bias. The fits come from
    running sums, at the cost of one.

    A collapsed method cannot look good: means and variances are both compared, so a constant output
    is a spike that identifies itself (accuracy and AUC near 1).

    Args:
        retrained: ``(models, examples, classes)`` logits, or ``(models, examples)`` predictions.
        unlearned: the same; the number of models may differ.
        labels: ``(examples,)``; may be None for predictions.

    Returns:
        An `AttackResult`; its accuracies are those of held-out models, 0.5 for equal populations.

    Raises:
        ValueError: fewer than three models of a kind (two must remain to fit); see
            `check_populations`.

    Source: Hayes et al., Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense
    of Privacy, SaTML 2025, arXiv 2403.01218; Carlini et al., arXiv 2112.03570. Differs from the
    paper: the shadow models are also the targets, by leaving out, instead of a separate set.
    """
    retrained_s, unlearned_s = population_statistic(
        retrained, unlearned, labels, logit_scaled_confidence, minimum=3
    )

    def score(values: Tensor, left_out_unlearned: Tensor, left_out_retrained: Tensor) -> Tensor:
        return _left_out_log_density(
            values, unlearned_s, left_out_unlearned
        ) - _left_out_log_density(values, retrained_s, left_out_retrained)

    u, r = (torch.arange(p.shape[0], device=p.device) for p in (unlearned_s, retrained_s))
    unlearned_scores = score(unlearned_s, u, u % len(r))
    retrained_scores = score(retrained_s, r % len(u), r)
    right = _called_unlearned(unlearned_scores), 1 - _called_unlearned(retrained_scores)
    per_example = (right[0].mean(0) + right[1].mean(0)) / 2
    return _attack_result(per_example, unlearned_scores, retrained_scores)


def rmia(
    retrained: Tensor,
    unlearned: Tensor,
    labels: Tensor,
    retrained_population: Tensor,
    unlearned_population: Tensor,
    population_labels: Tensor,
    gamma: float = 1.0,
) -> AttackResult:
    """RMIA adapted to unlearning: how unusually well a model does on x, relative to other images.

    For a model m and an example x let r_m(x) = p_m(y | x) / p(x), where p(x) is the average of the
    true-class probability over reference models: half from the mean of the unlearned, half from
    the mean of the retrained models (the paper's in and out models). The score is
    the share of population images z with r_m(x) / r_m(z) >= gamma. Population images are ones that
    no model trained on: the test set. The model itself and one partner of the other kind are
    left out of its references. Unlearned models play the members (they descend from one that saw
    x), retrained models the non-members.

    The score looks one way: above-average confidence suggests membership. A method that
    overshoots pushes the AUC below 0.5, which is as bad as above; and pooled over examples, a
    collapsed method can leave it at 0.5. ``accuracy`` therefore takes the best threshold of every
    example, in either direction: collapsed models sit on one score where retrained ones scatter,
    which is worth at least 0.75. Thresholds are chosen in-sample, so the ideal is the value of
    retrained against retrained, above 0.5, and not 0.5 itself.

    Args:
        retrained: ``(models, examples, classes)`` logits on the forget set.
        unlearned: the same; the number of models may differ.
        labels: ``(examples,)``.
        retrained_population: ``(models, images, classes)`` logits of the same retrained models on
            test images.
        unlearned_population: the same of the unlearned models.
        population_labels: ``(images,)``.
        gamma: threshold of the pairwise ratio, above 0; larger asks for more evidence.

    Returns:
        An `AttackResult`; AUC and rates pool all scores as the paper does, accuracies are those of
        each example's best threshold.

    Raises:
        ValueError: see `check_populations`; ``gamma`` not positive; the population's models do not
            match the models.

    Source: Zarifzadeh, Liu and Shokri, Low-Cost High-Power Membership Inference Attacks, ICML 2024,
    arXiv 2312.03262. Differs from the paper: membership is "was unlearned, not retrained", and
    references are held out by leaving out instead of a separate set.
    """
    require(gamma > 0, "gamma", f"must be above 0, got {gamma}")
    retrained, unlearned, labels_x = check_populations(retrained, unlearned, labels)
    retrained_z, unlearned_z, labels_z = check_populations(
        retrained_population, unlearned_population, population_labels
    )
    require(labels_x is not None, "retrained", "RMIA needs logits, (models, examples, classes)")
    require(labels_z is not None, "retrained_population", "RMIA needs logits")
    pairs = (
        ("retrained_population", retrained_z, retrained),
        ("unlearned_population", unlearned_z, unlearned),
    )
    for argument, images, examples in pairs:
        require(
            images.shape[0] == examples.shape[0] and images.shape[2] == examples.shape[2],
            argument,
            f"shape {tuple(images.shape)} does not continue {tuple(examples.shape)}",
        )

    def ratios(unlearned: Tensor, retrained: Tensor, labels: Tensor | None) -> list[Tensor]:
        own = [
            reduce_population(p, labels, true_class_probability).clamp_min(_PROBABILITY_FLOOR)
            for p in (unlearned, retrained)
        ]
        result = []
        for kind in (0, 1):
            index = torch.arange(own[kind].shape[0], device=own[kind].device)
            references = [_left_out_mean(p, index % p.shape[0]) for p in own]
            result.append(own[kind] / ((references[0] + references[1]) / 2))
        return result

    on_x = ratios(unlearned, retrained, labels_x)
    on_z = ratios(unlearned_z, retrained_z, labels_z)
    scores = []
    for x, z in zip(on_x, on_z, strict=True):
        beaten = torch.searchsorted(z.sort(1).values, (x / gamma).contiguous(), right=True)
        scores.append(beaten.double() / z.shape[1])
    unlearned_scores, retrained_scores = scores
    per_example = best_accuracy(unlearned_scores.T, retrained_scores.T)
    return _attack_result(per_example, unlearned_scores, retrained_scores)


def klom(retrained: Tensor, unlearned: Tensor, labels: Tensor | None) -> Tensor:
    """KLoM: binned KL divergence of margins, unlearned against retrained, per example.

    Margins z_y - logsumexp(other logits) are clipped to [-100, 100] and counted in 20 equal bins
    over the joint range of both populations. The result is KL(unlearned || retrained), where a bin
    that only unlearned models reach has retrained probability 1e-5 (renormalised). Bins are open to
    the right, so a value at the very top of the joint range is not counted.

    A collapsed method puts all mass into one bin and pays -ln of the retrained share of that bin:
    never less than for the densest bin, and about 11.5 where no retrained model is. A population
    that lies wholly at the top of the range is counted in the last bin.

    Args:
        retrained: ``(models, examples, classes)`` logits, or ``(models, examples)`` predictions.
        unlearned: the same; the number of models may differ.
        labels: ``(examples,)``; may be None for predictions.

    Returns:
        ``(examples,)`` float64, nats, at least 0; lower is better. Grows as models get fewer, so
        read it beside retrained against retrained. The source reports mean and 95th percentile.

    Raises:
        ValueError: see `check_populations`.

    Source: Rinberg et al., Easy Data Unlearning Bench, arXiv 2602.16400; KLoM from Georgiev et al.,
    Attribute-to-Delete, arXiv 2410.23232. Differs from the official code: a population wholly at
    the top of the range is counted there, where the code divides zero by zero.
    """
    margins = population_statistic(retrained, unlearned, labels, logit_margin)
    retrained_m, unlearned_m = (m.T.clamp(-_CLIP, _CLIP).contiguous() for m in margins)
    low = torch.minimum(retrained_m.amin(1), unlearned_m.amin(1))[:, None]
    high = torch.maximum(retrained_m.amax(1), unlearned_m.amax(1))[:, None]
    high = torch.where(low >= high, low + 1, high)
    k = torch.arange(_BINS + 1, dtype=torch.float64, device=low.device)
    edges = k * ((high - low) / _BINS) + low
    edges[:, -1:] = high

    def shares(values: Tensor) -> Tensor:
        upto = torch.searchsorted(values.sort(1).values, edges)
        counts = upto.diff(dim=1).double()
        wholly_at_top = counts.sum(1) == 0
        counts[wholly_at_top, -1] = 1
        return counts / counts.sum(1, keepdim=True)

    p, q = shares(unlearned_m), shares(retrained_m)
    q = torch.where(p > 0, q.clamp_min(_BIN_FLOOR), q)
    q = q / q.sum(1, keepdim=True)
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(1)


def _left_out_mean(population: Tensor, left_out: Tensor) -> Tensor:
    """Row i: mean over all models but ``left_out[i]``; population (M, E), result (len, E)."""
    return (population.sum(0) - population[left_out]) / (population.shape[0] - 1)


def _left_out_log_density(values: Tensor, population: Tensor, left_out: Tensor) -> Tensor:
    """Log density, up to a constant, of row i of ``values`` without model ``left_out[i]``."""
    centred = population - population.mean(0)  # keeps the sums of squares free of cancellation
    mean = _left_out_mean(centred, left_out)
    variance = _left_out_mean(centred.square(), left_out) - mean.square()
    sigma = variance.clamp_min(0).sqrt().clamp_min(_SIGMA_FLOOR)
    return -0.5 * ((values - population.mean(0) - mean) / sigma).square() - sigma.log()


def _called_unlearned(scores: Tensor) -> Tensor:
    """1 where the ratio favours unlearned, one half where it favours neither."""
    return (scores > 0).double() + 0.5 * (scores == 0).double()


def _attack_result(
    per_example: Tensor, unlearned_scores: Tensor, retrained_scores: Tensor
) -> AttackResult:
    positive, negative = unlearned_scores.flatten(), retrained_scores.flatten()
    return AttackResult(
        accuracy=float(per_example.mean()),
        auc=float(auc(positive, negative)),
        tpr_at_1_percent_fpr=float(tpr_at_fpr(positive, negative, 0.01)),
        tpr_at_0_1_percent_fpr=float(tpr_at_fpr(positive, negative, 0.001)),
        per_example=per_example,
        unlearned_scores=unlearned_scores,
        retrained_scores=retrained_scores,
    )
