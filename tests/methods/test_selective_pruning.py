"""Selective pruning: the twin, and what it leaves alone."""

from typing import Any

import pytest
from support.problems import assert_redrawn, assert_refused, convolutional, images, started

from unlearn.methods.selective_pruning import SelectivePruning

STEP: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.0, "epochs": 1, "batch_size": 16}


STILL: dict[str, Any] = {**STEP, "lr": 1e-15}  # a repair that moves nothing


TWINS: dict[str, Any] = {**STILL, "quantile": 0.3, "twin_lr": 0.01, "twin_epochs": 3}


def test_the_twin_overfits_the_forget_set() -> None:
    forget = images(12, 4, 4, seed=2)
    twin_steps = {**TWINS, "twin_lr": 0.05, "twin_epochs": 200}
    method = SelectivePruning(**twin_steps)
    losses = []
    overfit = started(method, convolutional(4), images(60, 4, 4, seed=1), forget).phases()[0]
    optimizer = overfit.optimizer(overfit.parameters)
    for _ in range(overfit.epochs):
        for batch in method.make_loader(overfit):
            loss = overfit.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    assert all(p.grad is None for p in method.net.parameters())


def test_every_tensor_is_redrawn_where_the_twin_did_not_move() -> None:
    assert_redrawn(SelectivePruning(**TWINS), twins=["forget"])


@pytest.mark.parametrize(
    ("how", "word"), [({"quantile": 1.5}, "method.quantile"), ({"twin_lr": 0.0}, "method.twin_lr")]
)
def test_values_out_of_range_are_named(how: dict[str, Any], word: str) -> None:
    assert_refused("selective_pruning", word, **how)
