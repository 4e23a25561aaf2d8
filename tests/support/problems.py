"""Small networks and data, and the authors' inputs and results, for tests of methods."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from support.compose import REFERENCE
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from unlearn.api import problem_from, unlearn_model
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule
from unlearn.forget_sets.random import RandomForget
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import UnlearningProblem
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings

GOLDEN = REFERENCE / "methods.npz"
CPU = torch.device("cpu")


class Golden:
    """The tiny float64 network and data of the reference outputs."""

    def __init__(self) -> None:
        self.arrays = np.load(GOLDEN)
        self.net = self.network("original")
        self.retain, self.forget = (
            TensorDataset(self[f"x_{side}"], self[f"y_{side}"].long())
            for side in ("retain", "forget")
        )

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.arrays[key]))

    def state(self, prefix: str) -> dict[str, Tensor]:
        keys = [key for key in self.arrays.files if key.startswith(f"{prefix}/")]
        return {key.removeprefix(f"{prefix}/"): self[key] for key in keys}

    def network(self, prefix: str) -> nn.Module:
        net = tiny_network()
        net.load_state_dict(self.state(prefix))
        return net

    def assert_state(self, net: nn.Module, prefix: str) -> None:
        """Weights and buffers equal those recorded, to 1e-8."""
        assert_state(net, self.state(prefix))


def assert_state(net: nn.Module, expected: dict[str, Tensor]) -> None:
    """Weights and buffers equal those expected, to 1e-8."""
    assert set(expected) == set(net.state_dict())
    for key, value in net.state_dict().items():
        assert (value - expected[key]).abs().max() < 1e-8, key


def tiny_network() -> nn.Module:
    """The float64 network of the reference outputs: three channels, five classes."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).double()


def toy_problem(rule: ForgetRule, *, fine: Tensor | None = None) -> UnlearningProblem:
    """Five classes of 8 x 8 images that differ in their mean pattern."""
    test_fine = None if fine is None else fine[:20]
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(100) % 5
    patterns = torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64)
    x = patterns[y] + 0.3 * torch.randn(100, 3, 8, 8, generator=generator, dtype=torch.float64)
    return UnlearningProblem(
        tables={"train": Table(x, y, fine=fine), "test": Table(x[:20], y[:20], fine=test_fine)},
        task=Task("classification", 5),
        forget=rule,
        build_network=tiny_network,
        recipe=None,
        description={},
        content_id="",
        name="toy",
    )


def convolutional(outputs: int = 4) -> nn.Module:
    """A float64 network with two convolutions, batch norm and two linear layers."""
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 5, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(20, 8),
        nn.ReLU(),
        nn.Linear(8, outputs),
    ).double()


def linear(outputs: int = 3) -> nn.Module:
    """A float64 linear map of 2 x 2 images."""
    torch.manual_seed(6)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, outputs)).double()


def images(count: int, side: int, classes: int | None, seed: int) -> TensorDataset:
    """Random float64 images with random labels, or real targets when `classes` is None."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, side, side, generator=generator, dtype=torch.float64)
    if classes is None:
        return TensorDataset(x, 30 + 10 * torch.randn(count, generator=generator))
    return TensorDataset(x, torch.randint(classes, (count,), generator=generator))


def fitted(
    method: UnlearningMethod,
    net: nn.Module,
    retain: TensorDataset,
    forget: TensorDataset,
    seed: int = 0,
) -> UnlearningMethod:
    """The method after a run on `net`, which it changes."""
    problem = problem_from(net, forget, retain)
    view = problem.view(method.requires)
    fit(method, net, view, seed=seed, settings=TrainerSettings(accelerator="cpu"))
    return method


def fitted_on(
    problem: UnlearningProblem, method: UnlearningMethod, net: nn.Module | None = None
) -> nn.Module:
    """The network after a run of the method on it; a fresh one where none is given."""
    net = problem.fresh_network(1) if net is None else net
    settings = TrainerSettings(accelerator="cpu")
    fit(method, net, problem.view(method.requires), seed=0, settings=settings)
    return net


def started(
    method: UnlearningMethod,
    net: nn.Module,
    retain: TensorDataset,
    forget: TensorDataset,
    seed: int = 0,
) -> UnlearningMethod:
    """The method after its preparation, before any step."""
    problem = problem_from(net, forget, retain)
    method.bind(net, problem.view(method.requires), seed)
    method.start(CPU)
    return method


def gradients(net: nn.Module, loss: Tensor) -> list[Tensor]:
    """Of the loss, one a parameter."""
    return list(torch.autograd.grad(loss, list(net.parameters())))


def assert_refused(method: str, word: str, **how: Any) -> None:
    """The method names the setting that is out of range."""
    sides = {"retain": images(9, 4, 3, seed=1), "forget": images(5, 4, 3, seed=2)}
    with pytest.raises(UserError, match=word):
        unlearn_model(convolutional(3), method, **sides, **how)


def assert_needs_classes(method: str) -> None:
    """The method refuses real targets."""
    sides = {"retain": images(9, 4, None, seed=1), "forget": images(5, 4, None, seed=2)}
    with pytest.raises(UserError, match="classification only"):
        unlearn_model(convolutional(1), method, **sides)


def assert_needs_a_class(method: UnlearningMethod) -> None:
    """The method refuses a random forget set."""
    with pytest.raises(UserError, match="class"):
        fitted_on(toy_problem(RandomForget(count=10)), method)


def assert_noise_of_the_targets_spread(kind: type, how: dict[str, Any]) -> None:
    """Poisoned real targets are off by the targets' standard deviation, or the one asked for."""
    retain, forget = images(400, 2, None, seed=1), images(300, 2, None, seed=2)
    for std, expected in ((None, float(forget.tensors[1].std())), (2.0, 2.0)):
        method = kind(**how, noise_std=std)
        started(method, linear(1), retain, forget)
        shift = method.phases()[0].data.targets[-300:] - forget.tensors[1]
        assert float(shift.std()) == pytest.approx(expected, rel=0.15)
    method = fitted(kind(**{**how, "lr": 1e-5, "batch_size": 64}), linear(1), retain, forget)
    assert all(bool(p.isfinite().all()) for p in method.net.parameters())


def assert_redrawn(
    method: Any, *, twins: list[str | int], layers: tuple[str, ...] | None = None
) -> None:
    """After a repair that moves nothing, what changed is what no twin moved far.

    Args:
        method: with a quantile of 0.3.
        twins: the data of each twin, a split's name or a number of examples.
        layers: tensors that may change, None = all of two dimensions and more.
    """
    net = convolutional(4)
    start = copy.deepcopy(net)
    fitted(method, net, images(60, 4, 4, seed=1), images(24, 4, 4, seed=2))
    *overfitted, repair = method._phases
    assert [p.data if isinstance(p.data, str) else len(p.data) for p in overfitted] == twins
    assert repair.data == "retain"
    redrawn = 0
    pairs = zip(start.named_parameters(), net.parameters(), strict=True)
    for number, ((name, old), new) in enumerate(pairs):
        changed = (new - old).abs() > 1e-9
        expected = torch.zeros_like(changed)
        if old.dim() >= 2 and (layers is None or name in layers):
            distances = [(old - phase.parameters[number]).abs() for phase in overfitted]
            expected = torch.stack([d < torch.quantile(d, 0.3) for d in distances]).all(0)
            assert expected.sum() <= 0.3 * old.numel() + 1
        assert torch.equal(changed, expected), name
        redrawn += int(changed.sum())
    assert redrawn >= 10  # the last layer alone: 0.3 of 32 weights
