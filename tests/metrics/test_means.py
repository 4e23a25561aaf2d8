"""Means over models and pairs of models: closed forms, simulated coverage."""

import math

import pytest
import torch

from unlearn.metrics.means import (
    mean_difference,
    mean_interval,
    mean_of_pairs,
    mean_of_retrained,
    mean_of_retrained_pairs,
    mean_of_runs,
)


def test_a_mean_of_runs_has_students_interval():
    found = mean_interval(mean_of_runs([1.0, 2.0, 3.0], range(3)))
    assert found.estimate == 2 and found.high - 2 == pytest.approx(4.302653 / math.sqrt(3))


def test_one_model_has_no_interval_and_no_test():
    one = mean_of_runs([1.0], [0])
    assert math.isnan(mean_interval(one).low) and "one model" in mean_interval(one).note
    assert math.isnan(mean_difference(one, mean_of_runs([1.0, 2.0], [0, 1])).p_value)


def test_pairs_of_retrained_models_leave_out_what_a_model_has_to_itself():
    distances = torch.tensor([[math.nan, 1.0, 2.0], [3.0, math.nan, 4.0], [5.0, 6.0, math.nan]])
    assert mean_of_retrained_pairs(distances).value == pytest.approx(3.5)


def test_what_two_rows_share_cancels():
    """Runs that start alike, and the retrained models, differ far more than the two methods."""
    generator = torch.Generator().manual_seed(0)
    starts = 10 * torch.randn(12, generator=generator)
    noise = 0.1 * torch.randn(2, 12, generator=generator)
    first, second = (
        mean_of_runs(starts + 1 + noise[0], range(12)),
        mean_of_runs(starts + noise[1], range(12)),
    )
    assert mean_difference(first, second).p_value < 1e-6
    strangers = mean_of_runs(starts + noise[1], range(12, 24))
    assert mean_difference(first, strangers).p_value > 0.5
    retrained = 10 * torch.randn(12, generator=generator)
    distances = retrained[None] + noise[0][:, None]
    near, far = mean_of_pairs(distances, range(12)), mean_of_pairs(distances + 1, range(12))
    assert mean_difference(far, near).p_value < 1e-6


def test_equal_rows_are_not_told_apart():
    values = [1.0, 2.0, 4.0]
    same = mean_difference(mean_of_runs(values, range(3)), mean_of_runs(values, range(3)))
    assert same.value == 0 and same.p_value == 1


def test_distances_to_retrained_models_cover_and_keep_their_size():
    """Of distances with an effect of each run, of each retrained model and of the pair, intervals
    cover the expectation, and methods are not told from retraining where they are retraining."""
    generator = torch.Generator().manual_seed(1)
    worlds, n, m = 400, 12, 16
    covered = rejected = 0
    for _ in range(worlds):
        x = torch.randn(n + m, 4, generator=generator, dtype=torch.float64)
        runs, bank = x[:n], x[n:]
        distances = torch.cdist(runs, bank).square()
        own = torch.cdist(bank, bank).square()
        mean, floor = mean_of_pairs(distances, range(n)), mean_of_retrained_pairs(own)
        interval = mean_interval(mean)
        covered += interval.low <= 8 <= interval.high  # 2 x 4 dimensions
        rejected += mean_difference(mean, floor).p_value < 0.05
    assert 0.91 < covered / worlds < 0.99
    assert rejected / worlds < 0.08


def test_means_of_retrained_models_and_of_runs_are_independent():
    first, second = mean_of_runs([1.0, 2.0, 3.0], range(3)), mean_of_retrained([1.0, 2.0, 3.0])
    found = mean_difference(first, second)
    assert found.interval.high == pytest.approx(4.302653 * math.sqrt(2 / 3))
