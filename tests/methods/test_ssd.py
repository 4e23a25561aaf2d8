"""SSD: the authors' weights, and what it dampens."""

import pytest
import torch
from support.problems import Golden

from unlearn.api import unlearn_model
from unlearn.methods.ssd import dampen_


@pytest.mark.parametrize(
    ("prefix", "alpha", "dampening"),
    [("ssd_a10_l1", 10.0, 1.0), ("ssd_a2_l05", 2.0, 0.5), ("ssd_a1_l01", 1.0, 0.1)],
)
def test_ssd_gives_the_authors_weights(prefix: str, alpha: float, dampening: float) -> None:
    golden = Golden()
    how = {"alpha": alpha, "dampening": dampening, "batch_size": 16}
    net = unlearn_model(golden.net, "ssd", forget=golden.forget, retain=golden.retain, **how)
    golden.assert_state(net, prefix)


def test_ssd_dampens_only_above_the_threshold_and_never_amplifies() -> None:
    weight = torch.full((4,), 2.0, dtype=torch.float64)
    forget = torch.tensor([30.0, 9.0, 10.0, 0.0], dtype=torch.float64)
    reference = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    dampen_(weight, forget, reference, alpha=10, dampening=0.1)
    assert weight.tolist() == pytest.approx([2 * 0.1 / 30, 2, 2, 2])  # 10 > 10 * 1 is false
    dampen_(weight, forget, reference, alpha=0.5, dampening=100)
    assert weight.tolist() == pytest.approx([2 * 0.1 / 30, 2, 2, 2])  # factors cut at 1
