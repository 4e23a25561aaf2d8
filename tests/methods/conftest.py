"""Fixtures: the authors' inputs and results, and a network that knows the toy problem."""

import pytest
import torch
import torch.nn.functional as F
from support.problems import Golden, toy_problem
from torch import nn

from unlearn.forget_sets.random import RandomForget


@pytest.fixture
def golden() -> Golden:
    return Golden()


@pytest.fixture(scope="session")
def trained() -> nn.Module:
    """A network that knows the toy problem; tests change copies of it."""
    problem = toy_problem(RandomForget(count=10))
    net = problem.fresh_network(0)
    x, y = problem.tables["train"].images, problem.tables["train"].targets
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.zero_grad()
    return net.eval()
