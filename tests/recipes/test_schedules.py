"""Learning-rate schedules, step by step, against their definitions."""

import math
from functools import partial

import pytest
import torch

from unlearn.errors import UserError
from unlearn.recipes import schedules
from unlearn.recipes.recipe import Recipe


def rates(name: str, total: int, per_epoch: int, lr: float = 0.1, **how) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    schedule = getattr(schedules, name)(optimizer, total, per_epoch, **how)
    seen = []
    for _ in range(total):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def test_multistep_changes_when_a_milestone_epoch_begins():
    seen = rates("multistep", 40, 4, milestones=[3, 7], gamma=0.1)
    assert seen == pytest.approx([0.1] * 12 + [0.01] * 16 + [0.001] * 12)


def test_cosine_goes_from_the_rate_to_zero():
    seen = rates("cosine", 100, 10)
    assert seen == pytest.approx([0.05 * (1 + math.cos(math.pi * t / 100)) for t in range(100)])


@pytest.mark.parametrize("name", ["cosine", "constant"])
def test_warmup_is_linear(name):
    seen = rates(name, 50, 5, warmup_epochs=2)
    assert seen[:11] == pytest.approx([0.1 * (t + 1) / 11 for t in range(11)], rel=1e-6)
    if name == "constant":
        assert seen[10:] == pytest.approx([0.1] * 40)


def test_one_cycle_starts_at_a_25th_and_peaks_where_asked():
    seen = rates("one_cycle", 100, 10, peak=0.2, warmup=0.3)
    assert seen[0] == pytest.approx(0.2 / 25)
    assert max(seen) == pytest.approx(0.2) and seen.index(max(seen)) in (29, 30)
    assert seen[-1] < 0.2 / 1e4


def test_one_cycle_survives_a_single_step():
    assert len(rates("one_cycle", 1, 1, peak=0.1)) == 1


def recipe(optimizer: dict, scheduler: dict | None, kind: str = "one_cycle", **how) -> Recipe:
    schedule = None if scheduler is None else partial(getattr(schedules, kind), **scheduler)
    how = {"epochs": 1, "batch_size": 1, **how}
    return Recipe(optimizer=partial(torch.optim.SGD, **optimizer), scheduler=schedule, **how)


@pytest.mark.parametrize(
    ("optimizer", "scheduler", "text"),
    [
        ({"lr": 0.2}, {"peak": 0.1}, r"optimizer\.lr=0\.2 has no effect.*scheduler\.peak=0\.1"),
        ({"momentum": 0.5}, {"peak": 0.1}, r"momentum=0\.5 has no effect"),
        ({"betas": [0.5, 0.9]}, {"peak": 0.1}, r"betas=\[0\.5, 0\.9\] has no effect"),
        ({}, {"peak": 0.1, "warmup": 1.0}, r"warmup must lie in"),
        ({}, {"peak": 0.0}, r"scheduler\.peak must be finite and above 0"),
        ({"lr": math.nan}, None, r"optimizer\.lr must be finite and above 0"),
        ({"lr": 0.0}, None, r"optimizer\.lr must be finite and above 0"),
        ({"lr": 0.1, "weight_decay": -1}, None, r"weight_decay must be finite and not below 0"),
    ],
)
def test_values_without_meaning_or_effect_are_refused(optimizer, scheduler, text):
    with pytest.raises(UserError, match=text):
        recipe(optimizer, scheduler)


def test_values_with_an_effect_are_taken():
    recipe({"lr": 0.1, "momentum": 0.9}, {"peak": 0.1})
    recipe({"lr": 0.1, "momentum": 0.5}, {"peak": 0.1, "cycle_momentum": False})
    recipe({"lr": 0.1, "momentum": 0.5}, {}, "cosine")


def test_what_the_optimizer_itself_refuses_is_said_of_the_recipe():
    made = recipe({"lr": 0.1, "nesterov": True}, None)
    with pytest.raises(UserError, match=r"recipe\.optimizer: Nesterov momentum requires"):
        made.optimizer([torch.nn.Parameter(torch.zeros(1))])
