"""Resampled models, intervals and tests: closed forms, invariants, coverage and size."""

import math

import pytest
import torch
from scipy.stats import t

from unlearn.metrics.differences import detectable_difference, difference_test, holm
from unlearn.metrics.epsilon import epsilon_hat, median_epsilon
from unlearn.metrics.intervals import (
    interval,
    standard_deviation,
)
from unlearn.metrics.population import u_lira
from unlearn.metrics.resampling import (
    ModelDraws,
    kept,
    kept_for_extremes,
    restated,
    side_by_side,
    spread,
)


def replicates(metric, retrained_draws, unlearned_draws):
    """A number of two populations in every replicate, one after another."""
    pairs = zip(retrained_draws, unlearned_draws, strict=True)
    return torch.tensor([metric(r, u) for r, u in pairs], dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("count", [4, 8, 10, 31, 64])
def test_draws_are_a_part_of_the_models_without_duplicates(count):
    draws = ModelDraws(20).of("retrained", count)
    assert draws.shape == (20, kept(count)) and count / 2 < kept(count) < count
    assert all(len(set(row)) == len(row) and max(row) < count for row in draws.tolist())


def test_draws_depend_on_seed_replicate_and_population_only():
    draws = ModelDraws(30, seed=1)
    first = draws.of("scrub", 16)
    draws.of("gisa", 16)
    state = torch.random.get_rng_state()
    assert torch.equal(first, ModelDraws(30, seed=1).of("scrub", 16))
    assert torch.equal(first[:10], ModelDraws(10, seed=1).of("scrub", 16))
    assert torch.equal(state, torch.random.get_rng_state())
    for other in (
        draws.of("gisa", 16),
        draws.of("retrained", 16),
        ModelDraws(30, seed=2).of("scrub", 16),
    ):
        assert not torch.equal(first, other)


@pytest.mark.parametrize("count", [5, 8, 16, 64])
def test_the_spread_of_a_mean_is_its_standard_error(count):
    values = normal(count)
    draws = values[ModelDraws(4000).of("retrained", count)].mean(1)
    expected = float(values.std()) / math.sqrt(count)
    assert standard_deviation(draws, count) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("count", [4, 8, 16, 64, 200])
def test_extremes_keep_fewer_models_and_settle_at_no_rate(count):
    few = kept_for_extremes(count)
    assert ModelDraws(5, extremes=True).of("retrained", count).shape == (5, few) and few < count
    draws = torch.cat([normal(50), torch.tensor([math.inf])])
    found = restated(draws, count)
    expected = math.sqrt(count / (count - few)) * float(draws[:50].std())
    assert standard_deviation(found, count) == pytest.approx(expected)
    assert found[50] == math.inf and float(found[:50].mean()) == pytest.approx(
        float(draws[:50].mean())
    )


@pytest.mark.slow
def test_intervals_of_epsilon_hat_cover_where_it_is_large_and_where_it_is_small():
    """64 models: shifted by one deviation, where a mean's rate covers in 0.87 to 0.9 of tables, and
    of one kind, where that rate is twice too wide."""
    for shift in (0.0, 1.0):
        values, halves = [], []
        for world in range(60):
            r, u = (normal(64, 40, seed=1000 * world + i) + i * shift for i in range(2))
            draws = ModelDraws(30, seed=world, extremes=True)
            pair = draws.of("retrained", 64), draws.of("a", 64)
            drawn = epsilon_hat(side_by_side(r, pair[0]), side_by_side(u, pair[1]), None)
            medians = torch.tensor([median_epsilon(e) for e in drawn.view(30, -1)])
            values.append(median_epsilon(epsilon_hat(r, u, None)))
            found = interval(values[-1], restated(medians.double(), 64), 64)
            halves.append((found.high - found.low) / 2)
        estimates, half = torch.tensor(values), torch.tensor(halves)
        covered = ((estimates - estimates.mean()).abs() <= half).double().mean()
        assert covered >= 0.9 and half.mean() <= 2 * 1.96 * estimates.std()


def test_replicates_side_by_side_are_those_one_by_one():
    retrained, unlearned = normal(2, 12, 10).unbind()
    draws = ModelDraws(7)
    r, u = draws.of("retrained", 12), draws.of("a", 12)
    together = u_lira(side_by_side(retrained, r), side_by_side(unlearned, u), None)
    apart = replicates(lambda i, j: u_lira(retrained[i], unlearned[j], None).accuracy, r, u)
    torch.testing.assert_close(together.per_example.view(7, 10).mean(1), apart)


def test_interval_by_hand():
    draws = torch.tensor([0.1, 0.2, 0.3, 0.4])
    found = interval(0.9, draws, 8, 0.9)
    half = t.ppf(0.95, 7) * spread(8) * float(draws.double().std())
    assert kept(8) == 6 and spread(8) == pytest.approx(math.sqrt(3))
    assert found.low == pytest.approx(0.9 - half) and found.high == pytest.approx(0.9 + half)
    assert (found.estimate, found.level, found.over, found.replicates) == (0.9, 0.9, "models", 4)
    bounded = interval(0.9, draws, 8, 0.9, bounds=(0, 1))
    assert bounded.high == 1 and bounded.low == found.low


def test_interval_that_cannot_be_had_says_why():
    draws = torch.tensor([0.1, 0.2, 0.3, 0.4])
    for found, why in (
        (interval(0.2, draws, 8, fewest=16), "takes 16 models"),
        (interval(0.2, draws, 3), "takes 4 models"),
        (interval(math.inf, draws, 8), "not finite"),
        (interval(0.2, torch.full((4,), 0.2), 8), "same in every replicate"),
    ):
        assert math.isnan(found.low) and math.isnan(found.high) and why in found.note
    with pytest.raises(ValueError, match=r"^level:"):
        interval(0.2, draws, 8, level=95)


def test_infinite_replicates_open_the_interval_on_their_side():
    draws = torch.cat([torch.linspace(0, 1, 18), torch.tensor([math.inf, math.inf])])
    found = interval(0.5, draws, 16)
    assert found.high == math.inf and math.isfinite(found.low) and found.low < 0.5


def rows(worlds, models, shift=0.0, examples=20):
    """P-values of U-LiRA of two rows, models sharing a random effect over examples."""

    def population(seed, moved=0.0):
        effect, noise = normal(models, 1, seed=seed), normal(models, examples, seed=seed + 1)
        return math.sqrt(0.3) * effect + math.sqrt(0.7) * noise + moved

    found = []
    for world in range(worlds):
        seed = 10 * world
        retrained = population(seed)
        draws = ModelDraws(40, seed=world)
        numbers, drawn = [], []
        for name, unlearned in (
            ("a", population(seed + 2, shift)),
            ("floor", population(seed + 4)),
        ):

            def metric(i, j, retrained=retrained, unlearned=unlearned):
                return u_lira(retrained[i], unlearned[j], None).accuracy

            everyone = torch.arange(models)
            numbers.append(metric(everyone, everyone))
            drawn.append(replicates(metric, draws.of("retrained", models), draws.of(name, models)))
        found.append(difference_test(numbers[0], drawn[0], numbers[1], drawn[1], models).p_value)
    return torch.tensor(found)


@pytest.mark.slow
def test_the_size_of_the_test_against_the_noise_floor_and_its_power():
    assert (rows(150, 16) < 0.05).double().mean() <= 0.07
    assert (rows(20, 16, shift=2.0) < 0.05).double().mean() >= 0.8


def test_difference_by_hand_and_common_draws():
    common = normal(50)
    a, b = common + 0.1 * normal(50, seed=1), common + 0.1 * normal(50, seed=2)
    found = difference_test(1.0, a, 0.4, b, 16)
    deviation = spread(16) * float((a - b).std())
    assert found.value == pytest.approx(0.6)
    assert found.p_value == pytest.approx(2 * t.sf(0.6 / deviation, 15))
    assert found.interval.low == pytest.approx(0.6 - t.ppf(0.975, 15) * deviation)
    assert found.detectable == pytest.approx((t.ppf(0.975, 15) + t.ppf(0.8, 15)) * deviation)
    swapped = difference_test(0.4, b, 1.0, a, 16)
    assert swapped.value == -found.value and swapped.p_value == found.p_value
    # What both rows share cancels: other draws of what they share would not.
    apart = difference_test(1.0, a, 0.4, normal(50, seed=3), 16)
    assert found.detectable < apart.detectable / 4


def test_differences_without_a_test():
    draws = normal(10)
    equal = difference_test(1.0, draws, 1.0, draws, 8)
    assert equal.p_value == 1 and equal.value == 0
    for found, why in (
        (difference_test(1.0, draws + 1, 0.0, draws, 8), "same in every replicate"),
        (difference_test(math.inf, draws, 0.0, draws, 8), "not finite"),
        (difference_test(1.0, draws, 0.0, draws, 8, fewest=16), "takes 16 models"),
    ):
        assert math.isnan(found.p_value) and why in found.interval.note
    same = torch.full((10,), math.inf)
    assert difference_test(math.inf, same, math.inf, same, 8).p_value == 1


def test_detectable_difference_of_many_models_is_2_8_standard_deviations():
    assert detectable_difference(1.0, 100_000) == pytest.approx(2.80, abs=0.005)
    assert detectable_difference(1.0, 8) > 3


def test_holm_by_hand():
    # 0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1 which may not fall below what came before.
    torch.testing.assert_close(
        holm([0.02, 0.04, 0.01, 0.03]), torch.tensor([0.06, 0.06, 0.04, 0.06], dtype=torch.float64)
    )
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).numel() == 0
    with pytest.raises(ValueError, match=r"^p_values:"):
        holm([0.5, math.nan])
