"""GISA: the worked example, and a step by hand."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from support.problems import fitted, images, linear
from torch import nn

from unlearn.data.splits import Batch, Pair
from unlearn.data.task import Task
from unlearn.methods.gisa import GISA, rate_factor


def test_gisa_factors_of_the_worked_example() -> None:
    forget = torch.tensor([4.0, 1.0, 0.5, 0.0], dtype=torch.float64)
    retain = torch.ones(4, dtype=torch.float64)
    assert float(rate_factor(forget, retain)) == pytest.approx(1.346574, abs=1e-6)
    by_element = rate_factor(forget, retain, "element")
    assert by_element.tolist() == pytest.approx([2.386294, 1, 1, 1], abs=1e-6)


def gisa(**how: object) -> GISA:
    values = {"lr": 0.01, "weight_decay": 0.0, "epochs": 1, "batch_size": 64, "optimizer": "sgd"}
    return GISA(**{**values, **how})  # type: ignore[arg-type]


def test_gisa_loss_and_gradients_of_the_worked_example() -> None:
    method = gisa()
    method.net, method.task = nn.Identity(), Task("regression", 1, "l1")
    losses = torch.tensor([0.6, 0.3], dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros(1, dtype=torch.int64)
    retain, forget = (Batch(loss[None, None], torch.zeros(1), nothing, nothing) for loss in losses)
    value = method.loss(Pair(retain, forget))
    value.backward()
    assert float(value) == pytest.approx(1.2, abs=1e-6)
    assert losses.grad is not None
    assert losses.grad.tolist() == pytest.approx([4, -4], abs=1e-5)


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_gisa_step_is_the_gradient_times_the_factors(granularity: str) -> None:
    net, retain, forget = linear(), images(9, 2, 3, seed=1), images(5, 2, 3, seed=2)
    start = copy.deepcopy(net)
    sides = {"retain": retain, "forget": forget}
    loss = {k: F.cross_entropy(start(d.tensors[0]), d.tensors[1]) for k, d in sides.items()}
    parameters = list(start.parameters())
    fisher = {
        k: [g.square() for g in torch.autograd.grad(v, parameters, retain_graph=True)]
        for k, v in loss.items()
    }
    gradients = torch.autograd.grad(loss["retain"] ** 2 / loss["forget"], parameters)

    unlearned = fitted(gisa(granularity=granularity), net, retain, forget).net

    for new, old, gradient, i_f, i_r in zip(
        unlearned.parameters(),
        parameters,
        gradients,
        fisher["forget"],
        fisher["retain"],
        strict=True,
    ):
        logs = (i_f / (i_r + 1e-8)).log().clamp_min(0)
        factor = 1 + (logs.mean() if granularity == "tensor" else logs)
        torch.testing.assert_close(new, old - 0.01 * factor * gradient, rtol=1e-6, atol=1e-9)


def test_gisa_moves_faster_where_the_forget_set_matters_more() -> None:
    assert float(rate_factor(torch.tensor([math.e]), torch.tensor([1.0]))) == pytest.approx(2)
    assert float(rate_factor(torch.tensor([0.1]), torch.tensor([1.0]))) == 1
