"""The certified bound: worlds of known epsilon, what it can reach, invariants, errors."""

import math

import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import norm

from unlearn.metrics.certified import certified_epsilon


def epsilon_of_shift(shift: float, delta: float) -> float:
    """Epsilon of two unit normals ``shift`` apart (Balle and Wang 2018)."""
    if shift == 0:
        return 0.0

    def excess(epsilon):
        first = norm.cdf(shift / 2 - epsilon / shift)
        return first - math.exp(epsilon) * norm.cdf(-shift / 2 - epsilon / shift) - delta

    return brentq(excess, 0, 20) if excess(0) > 0 else 0.0


def world(models, shift, seed, examples=40, correlation=0.3):
    """Retrained and unlearned values; every example of the unlearned ones is ``shift`` higher."""
    generator = torch.Generator().manual_seed(seed)
    effect = torch.randn(2, models, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, models, examples, generator=generator, dtype=torch.float64)
    retrained, unlearned = math.sqrt(correlation) * effect + math.sqrt(1 - correlation) * noise
    return retrained, unlearned + shift


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.3, 0.95])
@pytest.mark.parametrize("shift", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("worst", [1.0, 0.1])
def test_it_exceeds_the_truth_in_at_most_one_of_twenty_worlds(correlation, shift, worst):
    truth = epsilon_of_shift(shift, 0.05)
    bounds = [
        certified_epsilon(*world(48, shift, seed, 40, correlation), None, worst=worst).bound
        for seed in range(100)
    ]
    assert sum(bound > truth for bound in bounds) / 100 <= 0.05


def test_it_finds_a_large_epsilon_and_more_models_find_more():
    bounds = [certified_epsilon(*world(models, 2.0, 0), None).bound for models in (16, 32, 64)]
    assert bounds == sorted(bounds) and bounds[-1] > 1 and bounds[-1] < epsilon_of_shift(2, 0.05)


def test_a_few_bad_examples_are_found_among_the_worst_tenth_only():
    retrained, unlearned = world(48, 0.0, 3, 100)
    unlearned[:, :10] += 3
    everything = certified_epsilon(retrained, unlearned, None).bound
    worst = certified_epsilon(retrained, unlearned, None, worst=0.1).bound
    assert everything < 0.1 and worst > 1


def test_without_overlap_it_reaches_what_so_many_models_can_show():
    for models, largest in ((8, 0.1), (16, 1.28), (64, 2.92)):
        found = certified_epsilon(*world(models, 50.0, 0), None)
        # ((1 + e) / (e + delta)) ^ (models - 3) = 20 where the bound ends.
        growth = (1 + math.exp(found.largest)) / (math.exp(found.largest) + 0.05)
        assert growth ** (models - 3) == pytest.approx(20, rel=0.25)
        assert found.bound == found.largest == pytest.approx(largest)
        assert found.models == models


def test_equal_populations_and_constant_ones_certify_nothing():
    values = world(16, 0.0, 0)[0]
    constant = torch.ones_like(values)
    assert certified_epsilon(values, values, None).bound == 0
    assert certified_epsilon(constant, constant, None).bound == 0
    assert certified_epsilon(values, constant, None).bound > 1


def test_it_repeats_does_not_depend_on_direction_and_refuses_nonsense():
    retrained, unlearned = world(24, 1.5, 0)
    first = certified_epsilon(retrained, unlearned, None)
    assert first == certified_epsilon(retrained, unlearned, None)
    assert certified_epsilon(-retrained, -unlearned, None).bound == pytest.approx(first.bound)
    for arguments, problem in (
        ({"worst": 0.0}, "worst"),
        ({"level": 95}, "level"),
        ({"delta": 1.0}, "delta"),
    ):
        with pytest.raises(ValueError, match=f"^{problem}:"):
            certified_epsilon(retrained, unlearned, None, **arguments)
    with pytest.raises(ValueError, match=r"^unlearned:"):
        certified_epsilon(retrained, unlearned[:5], None)
