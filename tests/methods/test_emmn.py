"""EMMN: noise for every class, and no data."""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from support.problems import CPU, assert_needs_a_class, fitted_on, toy_problem
from torch import nn

from unlearn.forget_sets.whole_class import ClassForget
from unlearn.methods.emmn import EMMN
from unlearn.programs.building import build
from unlearn.programs.chosen import shipped_config
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings


def emmn(**changes: Any) -> EMMN:
    values: dict[str, Any] = {"noise_images": 4, "forget_steps": 25, "retain_steps": 30}
    values |= {"noise_lr": 0.1, "penalty": 0.1, "copies": 4, "lr": 1e-3, "weight_decay": 0.0}
    return EMMN(**{**values, "epochs": 1, "batch_size": 4, **changes})


def test_emmn_reads_nothing_and_covers_every_class(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    method = emmn()
    view = problem.view(method.requires)
    fit(method, copy.deepcopy(trained), view, seed=0, settings=TrainerSettings("cpu"))
    assert view.reads == set()
    assert method.noise.targets.bincount().tolist() == [16] * 5
    x, y = method.noise.parts[0].table.images, method.noise.parts[0].table.targets
    hard = F.cross_entropy(trained(x), y)
    kept = torch.cat([part.table.images for part in method.noise.parts[1:]])
    labels = torch.cat([part.table.targets for part in method.noise.parts[1:]])
    assert (y == 2).all() and hard > 2 and F.cross_entropy(trained(kept), labels) < 0.5


def test_emmn_moves_batch_norm_statistics_only_when_told_to(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    kept = fitted_on(problem, emmn(), copy.deepcopy(trained))
    moved = fitted_on(problem, emmn(train_mode=True), copy.deepcopy(trained))
    assert torch.equal(kept[1].running_mean, trained[1].running_mean)
    assert not torch.equal(moved[1].running_mean, trained[1].running_mean)


def test_emmn_trains_on_as_much_noise_as_the_study(trained: nn.Module) -> None:
    """80 copies of three images a class; of the four that it learns, its loader takes no more."""
    problem = toy_problem(ClassForget(2))
    for changes, items in (({}, 5 * 240), ({"noise_images": 4}, 5 * 320)):
        short = {"forget_steps": 1, "retain_steps": 1}
        method = build({**shipped_config("method", "emmn"), **short, **changes}, "method", EMMN)
        method.bind(copy.deepcopy(trained), problem.view(method.requires), 0)
        method.start(CPU)
        assert len(method.noise) == items
        assert all(p.grad is None for p in method.net.parameters()), "nothing leaks into a step"


def test_emmn_refuses_random_forget_sets() -> None:
    assert_needs_a_class(emmn())
