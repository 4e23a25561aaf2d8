"""Whether forget and test answers come from one model, in worlds where that is known."""

import pytest
import torch

from unlearn.metrics.coherence import coherence

FORGET, TEST = 60, 100


def models(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Margins that share an effect of the model."""
    effect = torch.randn(count, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, FORGET + TEST, generator=generator, dtype=torch.float64)
    forget, test = (2 + 0.3**0.5 * effect + 0.7**0.5 * noise).split([FORGET, TEST], 1)
    return forget, test


@pytest.mark.parametrize("count", [8, 16, 32])
def test_answers_of_other_models_are_told_and_own_ones_are_not(count):
    generator = torch.Generator().manual_seed(0)
    own = other = 0
    for _ in range(100):
        bank, (forget, test) = models(2 * count, generator), models(count, generator)
        own += coherence(*bank, forget, test).p_value <= 1e-3
        other += coherence(*bank, forget.roll(1, 0), test).p_value <= 1e-3
    assert own <= 1 and other >= 95


def test_the_ratio_is_that_of_the_variances():
    """Effect e, residual noise s of the mean: swapped answers have var 2 e / s more."""
    generator = torch.Generator().manual_seed(1)
    bank, (forget, test) = models(4000, generator), models(4000, generator)
    assert coherence(*bank, forget, test).ratio == pytest.approx(1, abs=0.1)
    forget_noise, test_noise = 0.7 / FORGET, 0.7 / TEST
    slope = 0.3 / (0.3 + test_noise)
    residual = forget_noise + 0.3 * (1 - slope) ** 2 + slope**2 * test_noise
    swapped = forget_noise + 0.3 + slope**2 * (0.3 + test_noise)
    found = coherence(*bank, forget.roll(1, 0), test).ratio
    assert found == pytest.approx(swapped / residual, rel=0.1)


def test_a_shift_or_an_example_that_never_varies_is_no_incoherence():
    generator = torch.Generator().manual_seed(2)
    bank, (forget, test) = models(32, generator), models(16, generator)
    assert coherence(*bank, forget + 3, test).p_value == pytest.approx(
        coherence(*bank, forget, test).p_value
    )
    bank[0][:, 0], forget[:, 0] = 1.0, 1.0
    assert coherence(*bank, forget, test).p_value > 1e-3


def test_errors():
    with pytest.raises(ValueError, match="models"):
        coherence(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(8, 3), torch.zeros(8, 3))
    with pytest.raises(ValueError, match="test"):
        coherence(torch.zeros(8, 3), torch.zeros(8, 3), torch.zeros(8, 3), torch.zeros(9, 3))
