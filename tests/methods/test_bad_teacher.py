"""Competent and incompetent teachers: the authors' weights and losses, and who follows whom."""

import pytest
import torch
from support.problems import Golden, assert_needs_classes, convolutional, fitted, images, started
from torch import Tensor

from unlearn.api import unlearn_model
from unlearn.data.loaders import Loader
from unlearn.data.splits import Batch
from unlearn.errors import UserError
from unlearn.methods.bad_teacher import BadTeacher
from unlearn.problem import ProblemView


def bad_teacher(**how: object) -> BadTeacher:
    values = {"temperature": 1.0, "lr": 0.1, "weight_decay": 0.0, "epochs": 1, "batch_size": 8}
    return BadTeacher(**{**values, **how})  # type: ignore[arg-type]


def test_bad_teacher_gives_the_authors_weights_and_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden()
    teacher, losses = golden.network("bad_teacher_net"), []
    monkeypatch.setattr(ProblemView, "fresh_network", lambda self, seed: teacher)
    monkeypatch.setattr(Loader, "order", lambda self: golden["bad_teacher_order"])
    plain = BadTeacher.loss

    def recorded(self: BadTeacher, batch: Batch) -> Tensor:
        loss = plain(self, batch)
        losses.append(float(loss))
        return loss

    monkeypatch.setattr(BadTeacher, "loss", recorded)
    net = unlearn_model(
        golden.net,
        "bad_teacher",
        forget=golden.forget,
        retain=golden.retain,
        retain_scale=2.0,
        temperature=2.0,
        reduction="element",
        lr=0.5,
        weight_decay=0.0,
        epochs=1,
        batch_size=16,
        optimizer="sgd",
    )
    golden.assert_state(net, "bad_teacher")
    assert losses == pytest.approx(golden["bad_teacher_losses"].tolist(), abs=1e-10)


def test_the_reduction_is_a_factor_of_the_loss_that_adam_does_not_feel() -> None:
    """A mean over five classes too: SGD's steps are a fifth, Adam's the same but for epsilon."""

    def moves(optimizer: str) -> list[Tensor]:
        found = []
        for reduction in ("batch", "element"):
            how = {"retain_scale": 3.0, "reduction": reduction, "batch_size": 64, "lr": 1e-3}
            net = convolutional(5)
            start = torch.cat([p.detach().flatten().clone() for p in net.parameters()])
            method = bad_teacher(**how, optimizer=optimizer)
            fitted(method, net, images(40, 4, 5, seed=1), images(5, 4, 5, seed=2))
            found.append(torch.cat([p.detach().flatten() for p in net.parameters()]) - start)
        return found

    by_sgd, fifth = moves("sgd")
    torch.testing.assert_close(fifth, by_sgd / 5)
    by_adam, same = moves("adam")
    gradient = by_sgd.abs() / 1e-3
    felt = gradient > 1e-5  # where epsilon, 1e-8, is less than 1 % of a fifth of it
    assert felt.any()
    torch.testing.assert_close(same[felt], by_adam[felt], rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("how", "size"),
    [
        ({"retain_scale": 3.0}, 5 + 15),
        ({"retain_scale": 9.0}, 5 + 40),
        ({"retain_fraction": 0.3}, 5 + 12),
    ],
)
def test_bad_teacher_samples_the_retain_set(how: dict[str, float], size: int) -> None:
    sides = images(40, 4, 3, seed=1), images(5, 4, 3, seed=2)
    [phase] = started(bad_teacher(**how), convolutional(3), *sides).phases()
    assert len(phase.data) == size
    assert int(phase.data.is_forget.sum()) == 5
    assert phase.data.index.unique().numel() == size


def test_bad_teacher_wants_exactly_one_sample_size() -> None:
    for how in ({}, {"retain_scale": 1.0, "retain_fraction": 0.5}):
        with pytest.raises(UserError, match="exactly one"):
            bad_teacher(**how)


def test_bad_teacher_pulls_forget_and_retain_examples_to_their_teachers() -> None:
    """With equal answers the loss is 0; a student that differs from its teacher pays for it."""
    retain, forget = images(6, 4, 3, seed=1), images(6, 4, 3, seed=2)
    method = started(bad_teacher(retain_scale=1.0), convolutional(3), retain, forget)
    x, flags = retain.tensors[0], torch.zeros(6, dtype=torch.bool)
    rows = torch.arange(6)
    assert float(method.loss(Batch(x, rows, rows, flags))) == pytest.approx(0, abs=1e-12)
    wrong = float(method.loss(Batch(x, rows, rows, ~flags)))
    p = method.incompetent(x).softmax(1)
    expected = (p * (p.log() - method.net(x).log_softmax(1))).sum(1).mean()
    assert wrong == pytest.approx(float(expected)) and wrong > 0.001
    method.net.load_state_dict(method.incompetent.state_dict())
    assert float(method.loss(Batch(x, rows, rows, ~flags))) == pytest.approx(0, abs=1e-12)


def test_bad_teacher_stays_as_it_is_and_differs_between_seeds() -> None:
    sides = images(20, 4, 3, seed=1), images(5, 4, 3, seed=2)
    before = started(bad_teacher(retain_scale=1.0), convolutional(3), *sides).incompetent
    after = fitted(bad_teacher(retain_scale=1.0), convolutional(3), *sides).incompetent
    other = started(bad_teacher(retain_scale=1.0), convolutional(3), *sides, seed=1).incompetent
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name]), name
    assert not torch.equal(before[0].weight, other[0].weight)
    assert not after.training


def test_bad_teacher_needs_classes() -> None:
    assert_needs_classes("bad_teacher")
