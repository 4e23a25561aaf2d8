"""Learning-rate schedules, step by step, against their definitions."""

import math
from functools import partial

import pytest
import torch

from unlearn.errors import UserError
from unlearn.recipes import schedules


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
    with pytest.raises(UserError, match="warmup must lie in"):
        schedules.check_values(
            partial(torch.optim.SGD), partial(schedules.one_cycle, peak=0.1, warmup=1.0)
        )


def test_one_cycle_survives_a_single_step():
    assert len(rates("one_cycle", 1, 1, peak=0.1)) == 1
