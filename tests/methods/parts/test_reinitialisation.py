"""Masks and the weights redrawn under them."""

import pytest
import torch

from unlearn.methods.parts.reinitialisation import quantile, redraw_, similar


@pytest.mark.parametrize("share", [0.0, 0.2, 0.3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_quantile_interpolates_as_torch_does(share: float, count: int) -> None:
    values = torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    torch.testing.assert_close(quantile(values, share), torch.quantile(values, share))


def test_quantile_of_a_tensor_too_large_for_torch() -> None:
    values = torch.arange(17_000_001, dtype=torch.float32)
    assert float(quantile(values, 0.3)) == pytest.approx(0.3 * 17_000_000)


def test_similar_selects_strictly_below_the_quantile() -> None:
    weight = torch.zeros(10)
    twin = torch.tensor([0.0, 9.0, -1.0, 8.0, 2.0, -7.0, 3.0, 6.0, 4.0, 5.0])
    assert similar(weight, twin, 0.3).nonzero().flatten().tolist() == [0, 2, 4]
    # position 3 of 0..9 exactly: the entry at the quantile itself is kept
    assert similar(weight[:9], twin[:9].sort().values, 0.25).sum() == 2
    assert not similar(weight, weight, 0.3).any()  # a twin that never moved redraws nothing


def test_redraw_is_kaiming_normal_on_the_mask_and_nothing_elsewhere() -> None:
    weight = torch.zeros(200, 50, 3, 3)
    mask = torch.zeros(200, 50, 3, 3, dtype=torch.bool)
    mask[:100] = True
    redraw_(weight, mask, torch.Generator().manual_seed(0))
    assert float(weight[:100].std()) == pytest.approx((2 / (50 * 9)) ** 0.5, rel=0.01)
    assert abs(float(weight[:100].mean())) < 1e-3
    assert not weight[100:].any()
