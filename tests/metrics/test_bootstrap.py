"""Intervals and tests: coverage on known distributions, known answers, seeds, errors."""

import math

import pytest
import torch
from scipy.stats import wilcoxon

from unlearn.metrics.bootstrap import (
    bootstrap_examples,
    bootstrap_models,
    holm,
    paired_difference,
)
from unlearn.metrics.epsilon import epsilon_hat, median_epsilon


def test_interval_over_examples_has_the_width_of_theory():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(400, generator=generator, dtype=torch.float64)
    interval = bootstrap_examples(values)
    half = 1.96 * float(values.std()) / 20
    assert interval.estimate == pytest.approx(float(values.mean()))
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)
    assert interval.over == "examples" and interval.level == 0.95


def test_interval_over_examples_covers_the_truth_about_19_times_in_20():
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for _ in range(200):
        interval = bootstrap_examples(
            torch.randn(60, generator=generator) + 3, "median", replicates=400
        )
        hits += interval.low <= 3 <= interval.high
    assert 0.9 <= hits / 200 <= 0.99


def test_infinite_and_undefined_values():
    values = torch.tensor([1.0, 2.0, math.nan, 3.0, math.inf, math.inf])
    interval = bootstrap_examples(values, "median")
    assert interval.estimate == 3 and interval.high == math.inf and interval.low < 3
    with pytest.raises(ValueError, match=r"^values:.*median"):
        bootstrap_examples(values, "mean")
    with pytest.raises(ValueError, match=r"^values:"):
        bootstrap_examples(torch.tensor([math.nan]))


def test_seeds_and_foreign_random_state():
    values = torch.arange(30.0)
    state = torch.random.get_rng_state()
    first, again, other = (bootstrap_examples(values, seed=s) for s in (1, 1, 2))
    assert first == again and first != other
    assert torch.equal(state, torch.random.get_rng_state())


def test_interval_over_models_of_a_mean():
    generator = torch.Generator().manual_seed(0)
    retrained, unlearned = torch.randn(2, 64, generator=generator, dtype=torch.float64).unbind()
    interval = bootstrap_models(
        lambda r, u: float(u.mean() - r.mean()), retrained, unlearned, replicates=1000
    )
    spread = float((retrained.var() / 64 + unlearned.var() / 64).sqrt())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert interval.low < interval.estimate < interval.high and interval.over == "models"


def test_interval_over_models_surrounds_the_estimate_of_an_attack():
    generator = torch.Generator().manual_seed(0)
    retrained, unlearned = torch.randn(2, 32, 100, generator=generator).unbind()

    def metric(r, u):
        return median_epsilon(epsilon_hat(r, u, None))

    interval = bootstrap_models(metric, retrained, unlearned + 0.5, replicates=50)
    assert interval.low < interval.estimate < interval.high
    with pytest.raises(ValueError, match=r"^unlearned:"):
        bootstrap_models(metric, retrained, unlearned[:1])


def test_paired_difference_finds_what_unpaired_noise_would_hide():
    generator = torch.Generator().manual_seed(0)
    shared = 10 * torch.randn(200, generator=generator)
    first = shared + 0.5 + 0.5 * torch.randn(200, generator=generator)
    result = paired_difference(first, shared)
    assert result.difference.low > 0.3 and result.difference.high < 0.7
    assert result.p_value == pytest.approx(
        float(wilcoxon((first.double() - shared.double()).numpy()).pvalue)
    )
    assert result.pairs == 200


def test_paired_difference_of_equal_and_infinite_values():
    values = torch.tensor([1.0, math.inf, 2.0, math.nan])
    equal = paired_difference(values, values, "median")
    assert equal.p_value == 1 and equal.difference.estimate == 0 and equal.pairs == 3
    with pytest.raises(ValueError, match=r"^first:|^values:"):
        paired_difference(torch.tensor([math.inf, 1.0]), torch.tensor([1.0, 1.0]))
    with pytest.raises(ValueError, match=r"^second:"):
        paired_difference(values, values[:2])


def test_holm_by_hand():
    # 0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1 which may not fall below what came before.
    torch.testing.assert_close(
        holm([0.02, 0.04, 0.01, 0.03]), torch.tensor([0.06, 0.06, 0.04, 0.06], dtype=torch.float64)
    )
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).numel() == 0
    with pytest.raises(ValueError, match=r"^p_values:"):
        holm([0.5, math.nan])
