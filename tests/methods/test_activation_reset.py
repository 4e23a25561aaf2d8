"""Activation reset: which kernels are redrawn."""

import copy
from typing import Any

import pytest
import torch
from support.problems import assert_refused, fitted
from torch import nn
from torch.utils.data import TensorDataset

from unlearn.methods.activation_reset import ActivationReset, excited

STEP: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.0, "epochs": 1, "batch_size": 16}


STILL: dict[str, Any] = {**STEP, "lr": 1e-15}  # a repair that moves nothing


def test_excited_wants_more_than_the_share_of_positions() -> None:
    retain = torch.zeros(3, 2, 5)
    forget = -torch.ones(3, 2, 5)
    forget[0].flatten()[:8] = 1  # exactly 0.8: not more
    forget[1].flatten()[:9] = 1
    assert excited(forget, retain, 0.8).tolist() == [False, True, False]


def three_kernels() -> nn.Module:
    """Channels that pass the image on times 1, -1 and 0.5."""
    net = nn.Sequential(
        nn.Conv2d(1, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    ).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1.0, 0.5]).view(3, 1, 1, 1))
        net[0].bias.zero_()
    return net


def grey(count: int, value: float) -> TensorDataset:
    labels = torch.arange(count) % 2
    return TensorDataset(torch.full((count, 1, 4, 4), value, dtype=torch.float64), labels)


@pytest.mark.parametrize(
    ("forget", "retain", "official", "kept"),
    [
        (1.0, 0.1, False, [False, True, False]),  # brighter: the positive kernels are excited
        (0.1, 1.0, False, [True, False, True]),  # darker: the negative one is
        (0.1, 1.0, True, [False, True, False]),  # the retain mean comes out fifty times too small
    ],
)
def test_activation_reset_redraws_the_excited_kernels(
    forget: float, retain: float, official: bool, kept: list[bool]
) -> None:
    method = ActivationReset(share=0.8, retain_share=0.02, official_mean=official, **STILL)
    net = three_kernels()
    start = copy.deepcopy(net)
    fitted(method, net, grey(50, retain), grey(6, forget))
    same = (net[0].weight - start[0].weight).abs().flatten() < 1e-9
    assert same.tolist() == kept
    torch.testing.assert_close(net[0].bias, start[0].bias)
    torch.testing.assert_close(net[4].bias, start[4].bias)
    assert ((net[4].weight - start[4].weight).abs() > 1e-6).all()


def test_a_share_out_of_range_is_named() -> None:
    assert_refused("activation_reset", "method.share", share=-0.1)
