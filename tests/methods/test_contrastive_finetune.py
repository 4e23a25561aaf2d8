"""Contrastive fine-tuning: its losses by hand, its rounds."""

import copy
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from support.problems import assert_needs_classes, convolutional, fitted, images, started
from torch import Tensor

from unlearn.methods.contrastive_finetune import (
    ContrastiveFinetune,
    contrast,
    uniform_divergence,
)


def test_contrast_is_flat_where_all_retain_outputs_agree() -> None:
    forget = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    retain = torch.randn(1, 3, dtype=torch.float64).expand(6, 3)
    loss = contrast(forget, retain, 1.15)
    loss.backward()
    assert float(loss) == pytest.approx(math.log(6))
    assert forget.grad is not None and forget.grad.abs().max() < 1e-12


def test_contrast_of_two_columns() -> None:
    loss = contrast(torch.tensor([[1.0]]), torch.tensor([[1.0], [-1.0]]), 1.0)
    assert float(loss) == pytest.approx(1.126928, abs=1e-6)
    assert float(loss) == pytest.approx((0.126928 + 2.126928) / 2, abs=1e-6)


def test_uniform_divergence() -> None:
    assert float(uniform_divergence(torch.full((3, 5), 2.0))) == pytest.approx(0, abs=1e-6)
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert float(uniform_divergence(torch.tensor([[math.log(3), 0.0]]))) == pytest.approx(expected)


def test_contrastive_rounds_share_momentum_and_one_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, rates, owners = 3, [], []
    plain = ContrastiveFinetune.contrast_loss

    def recorded(self: ContrastiveFinetune, batch: object) -> Tensor:
        optimizer = self.trainer.optimizers[0]
        rates.append(optimizer.param_groups[0]["lr"])
        owners.append((id(optimizer), len(optimizer.state)))
        return plain(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(ContrastiveFinetune, "contrast_loss", recorded)
    method = ContrastiveFinetune(
        flatten_lr=5e-3,
        flatten_epochs=1,
        rounds=rounds,
        contrast_lr=3e-4,
        final_lr=1e-6,
        temperature=1.15,
        retain_lr=4e-3,
        retain_weight_decay=1e-2,
        batch_size=16,
        forget_batch_size=5,
    )
    net = convolutional(3)
    start = copy.deepcopy(net)
    fitted(method, net, images(40, 4, 3, seed=1), images(10, 4, 3, seed=2))
    # two forget batches, three retain batches: a pass stops at the shorter side
    assert method.steps_done == 2 + rounds * (2 + 3)
    steps = rounds * 2
    expected = [
        1e-6 + (3e-4 - 1e-6) * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)
    ]
    assert rates == pytest.approx(expected, rel=1e-6)
    assert len({owner for owner, _ in owners}) == 1
    assert owners[0][1] == 0 and all(kept > 0 for _, kept in owners[1:])
    assert all(a > b for a, b in pairwise(rates))
    assert not torch.equal(start[0].weight, net[0].weight)


def contrastive(**changes: Any) -> ContrastiveFinetune:
    values: dict[str, Any] = {"flatten_lr": 5e-3, "flatten_epochs": 1, "rounds": 2}
    values |= {"contrast_lr": 3e-4, "final_lr": 1e-6, "temperature": 1.15, "retain_lr": 4e-3}
    values |= {"retain_weight_decay": 1e-2, "batch_size": 8, "forget_batch_size": 5}
    return ContrastiveFinetune(**{**values, **changes})


def test_the_cosine_is_as_long_as_all_forget_batches() -> None:
    """Also where the retain set is shorter and ends every round."""
    method = started(
        contrastive(), convolutional(3), images(8, 4, 3, seed=1), images(20, 4, 3, seed=2)
    )
    pull = next(phase for phase in method.phases() if phase.name == "contrast")
    assert pull.scheduler is not None
    loader = method.make_loader(pull)
    assert len(loader) == 1
    schedule = pull.scheduler(pull.optimizer([]), len(loader), len(loader))
    assert schedule.T_max == 2 * 4  # type: ignore[attr-defined]


def test_the_forget_batch_goes_through_the_network_first() -> None:
    """Running statistics end with what went through last."""
    method, net = contrastive(), convolutional(3).train()
    started(method, net, images(8, 4, 3, seed=1), images(5, 4, 3, seed=2))
    seen: list[Tensor] = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    [pair] = list(method.make_loader(method.phases()[1]))
    method.contrast_loss(pair)
    assert torch.equal(seen[0], pair.forget.x) and torch.equal(seen[1], pair.retain.x)


def test_contrastive_finetuning_needs_classes() -> None:
    assert_needs_classes("contrastive_finetune")
