"""GKT: the gate, the turns of generator and student, the schedule."""

import copy
from typing import Any

import pytest
import torch
from support.problems import CPU, fitted_on, toy_problem
from torch import Tensor, nn

from unlearn.forget_sets.whole_class import ClassForget
from unlearn.methods.gkt import GKT, StudentCycle, gate, one_cycle
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings


def gkt(**changes: Any) -> GKT:
    values: dict[str, Any] = {"cycles": 3, "generator_steps": 1, "student_steps": 3}
    values |= {"batch_size": 16, "latent": 8, "threshold": 0.3, "attention_weight": 5.0}
    return GKT(**{**values, "lr": 0.1, "generator_lr": 0.01, "gradient_clip": 5.0, **changes})


def test_gate_stops_what_looks_like_the_forgotten_class() -> None:
    probabilities = torch.tensor([[0.005, 0.995], [0.01, 0.99], [0.02, 0.98]]).double()
    assert gate(probabilities, (0,), 0.01).tolist() == [True, True, False]
    assert gate(probabilities, (0, 1), 0.985).tolist() == [False, False, True]


def test_gated_batches_hold_only_images_that_passed(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    method = gkt()
    method.bind(copy.deepcopy(trained), problem.view(()), 0)
    method.teacher = trained
    x = problem.tables["train"].images[:10]  # classes 0 1 2 3 4, twice
    batch, share = method.gated(x)
    passing = [0, 1, 3, 4, 5, 6, 8, 9]
    torch.testing.assert_close(batch, x[passing + passing[:2]])
    assert float(share) == 1
    assert float(method.gated(x[[2, 7]])[1]) == 0


def test_gkt_trains_generator_and_student_in_turn(
    trained: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    after = GKT.training_step

    def watch(self: GKT, batch: Any, batch_idx: int) -> Tensor:
        states.append(
            tuple(
                {n: p.detach().clone() for n, p in net.named_parameters()}
                for net in (self.images, self.net)
            )
        )
        return after(self, batch, batch_idx)

    monkeypatch.setattr(GKT, "training_step", watch)
    problem = toy_problem(ClassForget(2))
    method = gkt(threshold=1.0)
    view = problem.view(method.requires)
    fit(method, copy.deepcopy(trained), view, seed=0, settings=TrainerSettings("cpu"))
    assert view.reads == set() and len(states) == 12

    def moved(step: int, side: int) -> bool:
        before, then = states[step][side], states[step + 1][side]
        return any(not torch.equal(before[name], then[name]) for name in before)

    turns = [(moved(step, 0), moved(step, 1)) for step in range(11)]
    assert turns == [(step % 4 == 0, step % 4 != 0) for step in range(11)]
    assert all(p.requires_grad for p in method.net.parameters())


def test_gkt_starts_from_the_original_with_new_convolutions(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    method = gkt()
    method.bind(copy.deepcopy(trained), problem.view(()), 0)
    method.start(CPU)
    changed = {
        name
        for (name, p), q in zip(method.net.named_parameters(), trained.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert changed == {"0.weight", "4.weight"}
    assert torch.equal(method.teacher[0].weight, trained[0].weight)


def test_gkt_with_a_closed_gate_learns_nothing_and_says_so(
    trained: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    problem = toy_problem(ClassForget(2))
    net = fitted_on(problem, gkt(threshold=0.0), copy.deepcopy(trained))
    assert torch.equal(net[8].weight, trained[8].weight)
    assert "no generated image passed the gate" in caplog.text
    caplog.clear()
    fitted_on(problem, gkt(threshold=1.0), copy.deepcopy(trained))
    assert "gate" not in caplog.text


@pytest.mark.parametrize("total", [7, 100, 1001])
def test_one_cycle_is_torchs(total: int) -> None:
    """The student's rate and momentum at every step; the generator keeps its own."""

    def groups() -> torch.optim.SGD:
        given = [{"params": [nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (0.01, 0.1)]
        return torch.optim.SGD(given, lr=0.1, momentum=0.9)

    ours, theirs = groups(), groups()
    schedule = StudentCycle(ours, total)
    reference = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.1, total_steps=total)
    for step in range(total - 1):
        assert 0.1 * one_cycle(step, total) == pytest.approx(reference.get_last_lr()[1])
        for key in ("lr", "momentum"):
            assert ours.param_groups[1][key] == pytest.approx(theirs.param_groups[1][key])
        assert (ours.param_groups[0]["lr"], ours.param_groups[0]["momentum"]) == (0.01, 0.9)
        for optimizer in (ours, theirs):
            optimizer.step()
        schedule.step()
        reference.step()
    assert one_cycle(total - 1, total) == pytest.approx(4e-6)
