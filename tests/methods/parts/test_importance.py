"""Importances of linear models by hand, and the authors'."""

import pytest
import torch
import torch.nn.functional as F
from support.problems import CPU, Golden, images, linear

from unlearn.api import problem_from
from unlearn.methods.parts.importance import batch_importances


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
