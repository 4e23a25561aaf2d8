"""Selective pruning of the last layer."""

from typing import Any

from support.problems import assert_redrawn

from unlearn.methods.selective_pruning_last import SelectivePruningLast

HOW: dict[str, Any] = {"lr": 1e-15, "weight_decay": 0.0, "epochs": 1, "batch_size": 16}


def test_the_last_layer_alone_is_redrawn_where_the_twin_did_not_move() -> None:
    method = SelectivePruningLast(**HOW, quantile=0.3, twin_lr=0.01, twin_epochs=3)
    assert_redrawn(method, twins=["forget"], layers=("9.weight",))
