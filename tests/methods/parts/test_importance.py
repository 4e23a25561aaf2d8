"""Importances, and the two methods that live on them: SSD and GISA."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from support.problems import CPU, Golden, fitted, images, linear
from torch import nn

from unlearn.api import problem_from, unlearn_model
from unlearn.data.splits import Batch, Pair
from unlearn.data.task import Task
from unlearn.methods.gisa import GISA, rate_factor
from unlearn.methods.parts.importance import batch_importances
from unlearn.methods.ssd import dampen_


def test_importance_of_a_linear_classifier_is_the_squared_mean_of_error_times_input() -> None:
    net, data = linear(), images(12, 2, 3, seed=1)
    problem = problem_from(net, data, None)
    loader = problem.loader(problem.splits["forget"], 5, device=CPU)
    measured = batch_importances(net, problem.task, loader)

    x, y = data.tensors[0].flatten(1), data.tensors[1]
    error = net(data.tensors[0]).softmax(1) - F.one_hot(y, 3)
    weight, bias = [], []
    for rows in (slice(0, 5), slice(5, 10), slice(10, 12)):
        count = len(x[rows])
        weight.append((error[rows].T @ x[rows] / count) ** 2)
        bias.append((error[rows].sum(0) / count) ** 2)
    torch.testing.assert_close(measured["1.weight"], torch.stack(weight).mean(0))
    torch.testing.assert_close(measured["1.bias"], torch.stack(bias).mean(0))


def test_importance_of_a_regression_is_the_squared_mean_of_twice_error_times_input() -> None:
    net, data = linear(1), images(6, 2, None, seed=2)
    problem = problem_from(net, data, None)
    loader = problem.loader(problem.splits["forget"], 6, device=CPU)
    measured = batch_importances(net, problem.task, loader)
    x = data.tensors[0].flatten(1)
    error = net(data.tensors[0]).squeeze(1) - data.tensors[1]
    torch.testing.assert_close(measured["1.weight"], (2 * error @ x / 6).square()[None])


@pytest.mark.parametrize("side", ["forget", "full"])
def test_importances_equal_the_authors(side: str) -> None:
    golden = Golden()
    problem = problem_from(golden.net, golden.forget, golden.retain)
    splits = problem.view(("retain", "forget"))
    split = splits.split("forget" if side == "forget" else "mixed")
    net = golden.net.eval()
    measured = batch_importances(net, problem.task, problem.loader(split, 16, device=CPU))
    for key, value in golden.state(f"ssd_importance_{side}").items():
        assert (measured[key] - value).abs().max() < 1e-10, key


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
