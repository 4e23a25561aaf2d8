"""Every file of conf/method works on networks of other kinds. No method is named here."""

import copy
import re
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.compose import options
from support.given import required
from torch import nn

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule
from unlearn.forget_sets.random import RandomForget
from unlearn.forget_sets.subclass import SubclassForget
from unlearn.forget_sets.whole_class import ClassForget
from unlearn.methods.base import UnlearningMethod
from unlearn.models.vit import ViT
from unlearn.problem import UnlearningProblem
from unlearn.programs.building import build
from unlearn.programs.chosen import shipped_config
from unlearn.recipes.recipe import Recipe
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings

CLASSES, SIDE = 3, 8
# Counts of passes, steps and copies, which a test cuts down.
COUNTS = re.compile(r"(^|_)(epochs|steps|cycles|rounds|copies)$")


def vgg() -> nn.Module:
    """VGG's parts: ReLUs that overwrite their input, pooling, dropout, no batch norm."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 12),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Linear(12, CLASSES),
    )


def vit() -> nn.Module:
    """A vision transformer of four tokens and two blocks."""
    sizes = {"patch_size": 4, "layers": 2, "heads": 2, "width": 8, "mlp_width": 16}
    return ViT(in_channels=3, image_size=SIDE, num_outputs=CLASSES, **sizes)


def without_batch_norm() -> nn.Module:
    """Group norm in the place of batch norm, and ReLUs that leave their input alone."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.GroupNorm(2, 6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, CLASSES),
    )


NETWORKS = {"vgg": vgg, "vit": vit, "without_batch_norm": without_batch_norm}
RULES: tuple[ForgetRule, ...] = (RandomForget(count=12), ClassForget(1), SubclassForget(1))


def problem_of(rule: ForgetRule, make: Any) -> UnlearningProblem:
    """Three classes of images that differ in their mean pattern."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % CLASSES
    patterns = torch.rand(CLASSES, 3, SIDE, SIDE, generator=generator)
    x = 0.7 * patterns[y] + 0.3 * torch.rand(60, 3, SIDE, SIDE, generator=generator)
    fine = torch.arange(60) % (2 * CLASSES)
    return UnlearningProblem(
        tables={"train": Table(x, y, fine=fine), "test": Table(x[:18], y[:18], fine=fine[:18])},
        task=Task("classification", CLASSES),
        forget=rule,
        build_network=make,
        recipe=Recipe(epochs=1, batch_size=20, optimizer=partial(torch.optim.SGD, lr=0.05)),
        description={},
        content_id="",
        name="small",
    )


@pytest.fixture(scope="module")
def trained() -> dict[str, nn.Module]:
    """The networks, each knowing the problem a little."""
    nets = {}
    for name, make in NETWORKS.items():
        problem = problem_of(RULES[0], make)
        net, train = problem.fresh_network(0), problem.tables["train"]
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        for _ in range(30):
            optimizer.zero_grad()
            F.cross_entropy(net(train.images), train.targets).backward()
            optimizer.step()
        net.zero_grad()
        nets[name] = net.eval()
    return nets


def short(name: str) -> UnlearningMethod:
    """A method with the values of its file, and few steps."""
    values = shipped_config("method", name)
    cut = {k: min(v, 2) for k, v in values.items() if isinstance(v, int) and COUNTS.search(k)}
    return build({**values, **cut}, "method", UnlearningMethod)


def supported(name: str, make: Any) -> UnlearningProblem:
    """The problem with the first kind of forget set that the method is made for."""
    method, reason = short(name), None
    for rule in RULES:
        problem = problem_of(rule, make)
        try:
            method.check_supports(problem.view(method.requires))
        except UserError as error:
            reason = error
            continue
        return problem
    raise AssertionError(f"{name} supports none of the forget sets: {reason}")


# Of methods that need files of the user's there is nothing to run here.
@pytest.mark.parametrize("name", [n for n in options("method") if not required("method", n)])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_method_works_on_this_kind_of_network(kind, name, trained):
    problem = supported(name, NETWORKS[kind])
    method, net = short(name), copy.deepcopy(trained[kind])
    before = copy.deepcopy(net.state_dict())
    fit(method, net, problem.view(method.requires), seed=0, settings=TrainerSettings("cpu"))
    after = method.net.state_dict()
    assert before.keys() == after.keys()
    assert all(bool(value.isfinite().all()) for value in after.values())
    assert bool(method.net(problem.tables["test"].images).isfinite().all())
    moved = [key for key, value in after.items() if not torch.equal(value, before[key])]
    does_something = method.total_epochs() > 0 or (
        type(method).prepare is not UnlearningMethod.prepare
    )
    assert bool(moved) is does_something
