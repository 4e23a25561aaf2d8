"""Small networks and data, and the authors' inputs and results, for tests of methods."""

import numpy as np
import pytest
import torch
from support.compose import REFERENCE
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from unlearn.api import problem_from
from unlearn.methods.base import UnlearningMethod
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings

GOLDEN = REFERENCE / "methods.npz"
CPU = torch.device("cpu")


class Golden:
    """The tiny float64 network and data of the reference outputs."""

    def __init__(self) -> None:
        if not GOLDEN.is_file():
            pytest.skip("the reference outputs (shared/golden) are not beside this checkout")
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
        net = nn.Sequential(
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
        net.load_state_dict(self.state(prefix))
        return net

    def assert_state(self, net: nn.Module, prefix: str) -> None:
        """Weights and buffers equal those recorded, to 1e-8."""
        expected = self.state(prefix)
        assert set(expected) == set(net.state_dict())
        for key, value in net.state_dict().items():
            assert (value - expected[key]).abs().max() < 1e-8, key


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
