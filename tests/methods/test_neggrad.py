"""NegGrad: one step up the loss, and as many as the benchmark takes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.problems import assert_refused, gradients, images, linear, started

from unlearn.api import unlearn_model
from unlearn.data.splits import Split
from unlearn.methods.neggrad import NegGrad
from unlearn.methods.parts.sampling import full_batches

STEP: dict[str, Any] = {"lr": 0.1, "weight_decay": 0.0, "batch_size": 64}


def test_neggrad_climbs_the_cross_entropy() -> None:
    net, forget = linear(), images(7, 2, 3, seed=1)
    ascent = gradients(net, F.cross_entropy(net(forget.tensors[0]), forget.tensors[1]))
    unlearned = unlearn_model(net, "neggrad", forget=forget, lr=0.1, epochs=1)
    for new, old, gradient in zip(unlearned.parameters(), net.parameters(), ascent, strict=True):
        torch.testing.assert_close(new, old + 0.1 * gradient)


def test_steps_are_full_batches_of_passes_in_new_orders() -> None:
    """The benchmark: 268 pairs of 8,525 and 1,500 images in batches of 64, unequal ones skipped."""
    retain = [64] * 133 + [8525 - 133 * 64]
    forget = [64] * 23 + [1500 - 23 * 64]
    pairs = [(retain[step % 134], forget[step % 24]) for step in range(2 * 134)]
    steps = sum(a == b for a, b in pairs)
    assert steps == 255
    method = started(
        NegGrad(**STEP, steps=steps), linear(3), images(9, 2, 3, seed=1), images(1500, 2, 3, seed=2)
    )
    loader = method.make_loader(method.phases()[0])
    batches = [batch.index for batch in loader]
    assert [len(batch) for batch in batches] == [64] * 255
    passes = [torch.cat(batches[start : start + 23]) for start in range(0, 255, 23)]
    assert all(len(seen.unique()) == len(seen) for seen in passes)
    assert not torch.equal(passes[0], passes[1])


def test_a_set_smaller_than_a_batch_is_repeated() -> None:
    split = Split.from_tensors(torch.zeros(3, 1), torch.arange(3))
    rows = full_batches(split, 7, 2, torch.Generator().manual_seed(0)).index
    assert [batch.bincount().sort().values.tolist() for batch in rows.split(7)] == [[2, 2, 3]] * 2


@pytest.mark.parametrize("given", [{"epochs": 2, "steps": 3}, {"epochs": None, "steps": None}])
def test_epochs_or_steps(given: dict[str, Any]) -> None:
    assert_refused("neggrad", "method.epochs and method.steps", **given)
