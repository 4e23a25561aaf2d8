"""Label poisoning beside the retain set: who gets wrong labels, in which order, at which rate."""

from typing import Any

import pytest
import torch
from support.problems import (
    assert_noise_of_the_targets_spread,
    assert_refused,
    convolutional,
    fitted,
    images,
    started,
)
from torch import Tensor

from unlearn.methods.label_poisoning_full import LabelPoisoningFull

STEP: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.0, "epochs": 1, "batch_size": 16}


def test_poison_changes_targets_of_forget_examples_only_and_follows_the_seed() -> None:
    sides = images(40, 4, 5, seed=1), images(30, 4, 5, seed=2)

    def phase(seed: int) -> Any:
        return started(LabelPoisoningFull(**STEP), convolutional(5), *sides, seed=seed).phases()[0]

    data = phase(0).data
    assert torch.equal(data.targets[:40], sides[0].tensors[1])
    assert not torch.equal(data.targets[40:], sides[1].tensors[1])
    assert data.is_forget.tolist() == [False] * 40 + [True] * 30
    assert data.index.tolist() == list(range(70))
    assert torch.equal(phase(0).data.targets, data.targets)
    assert not torch.equal(phase(1).data.targets, data.targets)


def test_order_source_is_the_stored_order() -> None:
    sides = images(40, 4, 5, seed=1), images(30, 4, 5, seed=2)
    for order, stored in (("shuffled", False), ("source", True)):
        method = LabelPoisoningFull(**STEP, order=order)  # type: ignore[arg-type]
        started(method, convolutional(5), *sides)
        loader = method.make_loader(method.phases()[0])
        seen = torch.cat([batch.index for batch in loader]).tolist()
        assert sorted(seen) == list(range(70)) and (seen == list(range(70))) is stored


def test_label_poisoning_full_ends_its_cosine_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    plain = LabelPoisoningFull.loss

    def recorded(self: LabelPoisoningFull, batch: Any) -> Tensor:
        rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return plain(self, batch)

    monkeypatch.setattr(LabelPoisoningFull, "loss", recorded)
    method = LabelPoisoningFull(**{**STEP, "epochs": 2})
    fitted(method, convolutional(5), images(24, 4, 5, seed=1), images(8, 4, 5, seed=2))
    angles = torch.arange(4) / 4 * torch.pi
    assert rates == pytest.approx((0.01 * (1 + angles.cos()) / 2).tolist())


def test_the_cosine_of_the_source_holds_its_rate_for_an_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = []
    plain = LabelPoisoningFull.loss

    def recorded(self: LabelPoisoningFull, batch: Any) -> Tensor:
        rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return plain(self, batch)

    monkeypatch.setattr(LabelPoisoningFull, "loss", recorded)
    method = LabelPoisoningFull(**{**STEP, "epochs": 3}, cosine="epoch")
    fitted(method, convolutional(5), images(24, 4, 5, seed=1), images(8, 4, 5, seed=2))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    authors = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    expected = []
    for _ in range(3):
        expected += [optimizer.param_groups[0]["lr"]] * 2  # batches of 16 of 32 examples
        optimizer.step()
        authors.step()
    assert rates == pytest.approx(expected)


def test_poison_in_regression_adds_noise_of_the_targets_spread() -> None:
    assert_noise_of_the_targets_spread(LabelPoisoningFull, STEP)


def test_an_unknown_order_is_named() -> None:
    assert_refused("label_poisoning_full", "method.order", order="random")
