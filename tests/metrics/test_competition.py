"""Threshold and interval rules: brute force over the definition, the official scorer's values."""

import math

import numpy as np
import pytest
import torch
from support.compose import PUBLISHED_LOGITS

from unlearn.metrics.forgetting import forgetting_quality

GOLDEN = PUBLISHED_LOGITS


def official_epsilon(unlearned: np.ndarray, retrained: np.ndarray, delta: float) -> float:
    """The competition's definition for one example, rule by rule over its whole grid."""
    positive, negative = unlearned, retrained
    if np.median(retrained) > np.median(unlearned):
        positive, negative = retrained, unlearned
    if min(np.ptp(positive), np.ptp(negative)) / max(np.ptp(positive), np.ptp(negative)) < 0.01:
        return 50.0
    best = -math.inf
    seen = set()

    def consider(called_positive, called_negative):
        nonlocal best
        rule = (int(called_positive.sum()), int(called_negative.sum()))
        if rule in seen:
            return
        seen.add(rule)
        fnr, fpr = np.float32(1 - called_positive.mean()), np.float32(called_negative.mean())
        if fpr == 0 and fnr == 0:
            best = math.inf
        elif fpr > 0 and fnr > 0:
            with np.errstate(invalid="ignore"):
                pair = (
                    np.log(1 - delta - fpr) - np.log(fnr),
                    np.log(1 - delta - fnr) - np.log(fpr),
                )
            if not np.isnan(pair).all():
                best = max(best, float(np.nanmax(pair)))

    pooled = torch.from_numpy(np.concatenate([positive, negative]))
    count = int(torch.ceil((pooled.max() - pooled.min()) * 100))
    for threshold in torch.linspace(pooled.min(), pooled.max(), count).double().numpy():
        consider(positive >= threshold, negative >= threshold)
    narrow, wide = positive, negative
    if np.ptp(positive) >= np.ptp(negative):
        narrow, wide = negative, positive
    width = narrow.max() - narrow.min()
    first, last = narrow.min() + width - 2.0, narrow.max() + 2.0
    for right in np.linspace(first, last, int(np.ceil((last - first) * 100))):
        left = np.linspace(right - width - 2.0, right - width + 2.0, 400)
        inside = [((left[:, None] <= v) & (v <= right)) for v in (narrow, wide)]
        for n, w in set(zip(*(i.sum(1) for i in inside), strict=True)) - seen:
            consider(np.arange(len(narrow)) < n, np.arange(len(wide)) < w)
    return min(max(best, 0.0), 50.0) if best > -math.inf else math.nan


@pytest.mark.parametrize("models", [6, 25])
def test_competition_against_its_definition(models):
    generator = torch.Generator().manual_seed(models)
    retrained = torch.randn(models, 12, generator=generator, dtype=torch.float64)
    unlearned = torch.randn(models, 12, generator=generator, dtype=torch.float64)
    unlearned = unlearned * torch.linspace(0.005, 3, 12) + torch.linspace(-2, 6, 12).roll(5)
    got = forgetting_quality(retrained, unlearned, None)
    expected = [
        official_epsilon(unlearned[:, i].numpy(), retrained[:, i].numpy(), 1e-5) for i in range(12)
    ]
    np.testing.assert_allclose(got.epsilons.numpy(), expected, atol=1e-5)
    assert got.delta == 1e-5 and got.num_models == models


def exact_epsilon(unlearned: np.ndarray, retrained: np.ndarray, delta: float) -> float:
    positive, negative = unlearned, retrained
    if np.median(retrained) > np.median(unlearned):
        positive, negative = retrained, unlearned
    narrow, wide = positive, negative
    if np.ptp(positive) >= np.ptp(negative):
        narrow, wide = negative, positive
    values = np.unique(np.concatenate([positive, negative]))
    rules = [(positive >= t, negative >= t) for t in values]
    rules += [
        ((narrow >= a) & (narrow <= b), (wide >= a) & (wide <= b)) for a in values for b in values
    ]
    found = []
    for inside_positive, inside_negative in rules:
        fnr, fpr = 1 - inside_positive.mean(), inside_negative.mean()
        if max(fnr, fpr) < 1e-12:
            found.append(50.0)
        elif min(fnr, fpr) > 1e-12:
            for a, b in ((fpr, fnr), (fnr, fpr)):
                if 1 - delta - a > 0:
                    found.append(max(0.0, math.log(1 - delta - a) - math.log(b)))
    return max(found)


def test_exact_against_enumeration_with_ties():
    generator = torch.Generator().manual_seed(0)
    retrained, unlearned = (
        torch.randint(0, 12, (7, 30), generator=generator).double() for _ in range(2)
    )
    unlearned = (unlearned + torch.arange(30) % 7).double()
    got = forgetting_quality(retrained, unlearned, None, "exact").epsilons
    expected = [
        exact_epsilon(unlearned[:, i].numpy(), retrained[:, i].numpy(), 1e-5) for i in range(30)
    ]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-9)


def test_exact_does_not_depend_on_scale_and_never_falls_below_the_grid():
    generator = torch.Generator().manual_seed(0)
    retrained, unlearned = torch.randn(2, 30, 40, generator=generator).double().unbind()
    exact = forgetting_quality(retrained, unlearned, None, "exact").epsilons
    scaled = forgetting_quality(retrained * 1000, unlearned * 1000, None, "exact").epsilons
    torch.testing.assert_close(exact, scaled)
    grid = forgetting_quality(retrained, unlearned, None).epsilons
    assert (exact >= grid - 1e-6).all()


@pytest.mark.skipif(not GOLDEN.exists(), reason="reference outputs are not beside the checkout")
@pytest.mark.parametrize("method", ["finetune", "pruning_complex"])
def test_competition_equals_the_official_scorer(method):
    data = np.load(GOLDEN)
    chosen = data["competition_example_index"]
    retrained, unlearned = (
        torch.from_numpy(data[k][:, chosen]) for k in ("retrained_logits", f"{method}/logits")
    )
    got = forgetting_quality(retrained, unlearned, torch.from_numpy(data["labels"][chosen]))
    difference = np.abs(got.epsilons.numpy() - data[f"{method}/competition_epsilon"])
    assert (difference <= 1e-4).sum() >= 38 and difference.max() <= 0.2
    assert got.score == float(data[f"{method}/competition_score"])
