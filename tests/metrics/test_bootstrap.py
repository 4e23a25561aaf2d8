"""Intervals over examples: coverage on known distributions, known answers, seeds, errors."""

import math

import pytest
import torch

from unlearn.metrics.bootstrap import bootstrap_examples


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
