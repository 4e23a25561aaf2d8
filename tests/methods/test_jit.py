"""JiT: the authors' weights, closed forms of its loss, the noise it draws."""

import copy
from typing import Any

import pytest
import torch
from support.problems import Golden, fitted_on, toy_problem
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from unlearn.api import unlearn_model
from unlearn.errors import UserError
from unlearn.forget_sets.random import RandomForget
from unlearn.methods.jit import JiT, lipschitz_quotients


def jit(**changes: Any) -> JiT:
    values = {"sigma": 0.3, "lr": 0.003, "draws": 5, "batch_size": 16, "clamp": True}
    return JiT(**{**values, **changes})


def test_jit_gives_the_authors_weights(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = iter(golden["jit_noise"].flatten(0, 1))
    monkeypatch.setattr(JiT, "draw_noise", lambda self, x: next(recorded))
    settings = {"sigma": 0.3, "lr": 0.003, "draws": 5, "batch_size": 16, "accumulate": True}
    net = unlearn_model(golden.net, "jit", forget=golden.forget, **settings)
    golden.assert_state(net, "jit")


def test_jit_clears_gradients_unless_told_not_to(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = iter(golden["jit_noise"].flatten(0, 1))
    monkeypatch.setattr(JiT, "draw_noise", lambda self, x: next(recorded))
    settings = {"sigma": 0.3, "lr": 0.003, "draws": 5, "batch_size": 16}
    net = unlearn_model(golden.net, "jit", forget=golden.forget, **settings)
    expected = golden.state("jit")
    # Both runs share their first step; the second step of the script adds the first gradient again.
    weight = dict(net.named_parameters())["8.weight"].detach()
    start = golden.state("original")["8.weight"]
    assert (expected["8.weight"] - weight).norm() > 0.2 * (weight - start).norm()


def test_jit_of_a_scaled_identity_is_the_scale() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 12, bias=False)).double()
    net[1].weight.data = -1.7 * torch.eye(12, dtype=torch.float64)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    noised = x + torch.randn_like(x)
    quotients = lipschitz_quotients(x, net(x), noised, net(noised))
    torch.testing.assert_close(quotients, torch.full((4,), 1.7, dtype=torch.float64))


def test_jit_of_a_linear_map_lies_between_its_singular_values() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 6, dtype=torch.float64)
    x = torch.randn(50, 6, dtype=torch.float64)
    noised = x + torch.randn_like(x)
    quotients = lipschitz_quotients(x, x @ weight.T, noised, noised @ weight.T)
    singular = torch.linalg.svdvals(weight)
    assert quotients.min() >= singular[-1] and quotients.max() <= singular[0]


def test_jit_sums_over_images_averages_over_draws_and_detaches_the_noisy_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """f(x) = a x: the loss is |a| an image, its gradient sign(a d) x / |d| for the noise d."""
    a, lr = -2.0, 0.01
    x = torch.tensor([0.5, -1.25, 2.0], dtype=torch.float64)
    noise = torch.tensor([[0.4, 0.1, -0.2], [-0.3, 0.8, 0.5]], dtype=torch.float64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False)).double()
    net[1].weight.data.fill_(a)
    draws = iter(noise.view(2, 3, 1, 1, 1))
    monkeypatch.setattr(JiT, "draw_noise", lambda self, x: next(draws))
    losses = []
    equation = JiT.loss
    monkeypatch.setattr(JiT, "loss", lambda self, b: losses.append(equation(self, b)) or losses[-1])
    images = TensorDataset(x.view(3, 1, 1, 1), torch.zeros(3, dtype=torch.float64))
    settings = {"sigma": 1.0, "lr": lr, "draws": 2, "batch_size": 3, "clamp": False}
    unlearned = unlearn_model(net, "jit", forget=images, **settings)
    assert losses[0].item() == pytest.approx(3 * abs(a))
    # z - sg[z~] = a x - a (x + d) = -a d, hence the sign.
    gradient = (torch.sign(-a * noise) * x / noise.abs()).sum() / 2
    assert float(unlearned[1].weight) == pytest.approx(a - lr * float(gradient))


def test_jit_noise_stays_within_the_extremes_of_the_batch(
    trained: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(
        "unlearn.methods.jit.lipschitz_quotients",
        lambda x, z, noised, w: seen.extend((x, noised)) or lipschitz_quotients(x, z, noised, w),
    )
    problem = toy_problem(RandomForget(count=10))
    fitted_on(problem, jit(sigma=5.0, draws=1, lr=1e-9), problem.fresh_network(0))
    x, noised = seen
    assert noised.min() == x.min() and noised.max() == x.max()
    assert (noised == x.max()).sum() > 10


def test_jit_moves_batch_norm_statistics_only_when_told_to(trained: nn.Module) -> None:
    problem = toy_problem(RandomForget(count=10))
    kept = fitted_on(problem, jit(), copy.deepcopy(trained))
    moved = fitted_on(problem, jit(train_mode=True), copy.deepcopy(trained))
    assert torch.equal(kept[1].running_mean, trained[1].running_mean)
    assert not torch.equal(moved[1].running_mean, trained[1].running_mean)


@pytest.mark.parametrize("name,value", [("sigma", 0.0), ("lr", 0.0), ("draws", 0)])
def test_jit_refuses_values_that_mean_nothing(name: str, value: float) -> None:
    with pytest.raises(UserError, match=name):
        jit(**{name: value})
