"""Selective pruning with two twins, of the forget set and of a part of the retain set."""

from typing import Any

from support.problems import assert_redrawn, assert_refused

from unlearn.methods.selective_pruning_complex import SelectivePruningComplex

HOW: dict[str, Any] = {"lr": 1e-15, "weight_decay": 0.0, "epochs": 1, "batch_size": 16}


def test_every_tensor_is_redrawn_where_neither_twin_moved() -> None:
    twins = {"twin_lr": 0.01, "twin_epochs": 3, "retain_twin_lr": 0.01 / 3, "retain_share": 0.2}
    method = SelectivePruningComplex(**HOW, quantile=0.3, **twins)
    assert_redrawn(method, twins=["forget", 12])


def test_a_rate_of_zero_is_named() -> None:
    assert_refused("selective_pruning_complex", "method.retain_twin_lr", retain_twin_lr=0.0)
