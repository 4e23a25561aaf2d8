"""Hybrid: poison, then true labels."""

from typing import Any

import torch
from support.problems import (
    assert_noise_of_the_targets_spread,
    assert_refused,
    convolutional,
    images,
    started,
)
from torch import nn

from unlearn.methods.hybrid import Hybrid

STEP: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.0, "epochs": 1, "batch_size": 16}


def test_hybrid_poisons_then_trains_on_true_labels() -> None:
    method = Hybrid(**STEP, poison_lr=0.1, poison_epochs=2)
    retain, forget = images(40, 4, 5, seed=1), images(30, 4, 5, seed=2)
    started(method, convolutional(5), retain, forget)
    poison, repair = method.phases()
    assert poison.data.index.tolist() == list(range(40, 70)) and poison.epochs == 2
    assert repair.data == "retain" and repair.epochs == 1
    weight = [nn.Parameter(torch.zeros(1))]
    assert [p.optimizer(weight).param_groups[0]["lr"] for p in (poison, repair)] == [0.1, 0.01]


def test_poison_in_regression_adds_noise_of_the_targets_spread() -> None:
    assert_noise_of_the_targets_spread(Hybrid, {**STEP, "poison_lr": 1e-3, "poison_epochs": 1})


def test_no_poison_is_named() -> None:
    assert_refused("hybrid", "method.poison_epochs", poison_epochs=0)
