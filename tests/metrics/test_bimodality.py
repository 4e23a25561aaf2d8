"""Two groups of models: false alarms, power, the split itself, errors."""

import math

import pytest
import torch

from unlearn.metrics.bimodality import bimodality, weakest_margins


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("models", [8, 32])
@pytest.mark.parametrize("power", [0, 1, 2], ids=["normal", "skewed", "exponential"])
def test_false_alarms_of_one_population(models, power):
    def values(seed):
        one, other = normal(2, models, seed=seed)
        # Sum of two squares of normals: exponential. Its root is skewed by a third as much.
        return one if power == 0 else (one.square() + other.square()).pow(power / 2)

    alarms = [bimodality(values(seed)).p_value <= 0.01 for seed in range(1000)]
    assert sum(alarms) / 1000 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 1000)


def test_two_groups_are_found_and_separated():
    values = torch.cat([normal(12), normal(20, seed=1) + 8])
    found = bimodality(values)
    assert found.p_value <= 0.01 and found.upper == 20
    assert values[:12].max() < found.boundary < values[12:].min()
    moved = bimodality(-3 * values.flip(0) + 1)
    assert moved.upper == 12 and moved.explained == pytest.approx(found.explained)


def test_explained_share_by_hand():
    # Halves at 0 and 1, each half a hundredth apart.
    values = torch.tensor([0.0, 0.0, 0.01, 0.01, 1.0, 1.0, 1.01, 1.01], dtype=torch.float64)
    found = bimodality(values)
    assert found.explained == pytest.approx(1 - 8 * 0.005**2 / (2 + 8 * 0.005**2))
    assert found.boundary == pytest.approx(0.505) and found.upper == 4
    assert bimodality(torch.ones(8)).p_value == 1


def test_a_minority_below_a_quarter_is_not_a_group():
    values = torch.cat([normal(29), normal(3, seed=1) + 20])
    assert bimodality(values).p_value > 0.01


def test_half_of_the_models_did_nothing():
    """Models that saw the forget set get none of it wrong; the others have some hard examples."""
    margins = 4 + normal(32, 100) + normal(32, 1, seed=1)
    margins[:16, :10] -= 14
    assert bimodality(margins.mean(1)).p_value > 0.01
    found = bimodality(weakest_margins(margins))
    assert found.p_value <= 0.01 and found.upper == 16


def test_weakest_margins_by_hand_and_errors():
    margins = torch.arange(20.0).flip(0).repeat(2, 1)
    assert weakest_margins(margins).tolist() == [0.5, 0.5]
    assert weakest_margins(margins, 0.01).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"^share:"):
        weakest_margins(margins, 0)
    with pytest.raises(ValueError, match=r"^values:.*8 are needed"):
        bimodality(normal(7))
