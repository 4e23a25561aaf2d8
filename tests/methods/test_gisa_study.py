"""The methods of the GISA study: goldens of the authors' code, closed forms, invariants."""

import copy
import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from support.problems import CPU, Golden, convolutional, fitted, images, linear, started
from torch import Tensor, nn

from unlearn.api import problem_from, unlearn_model
from unlearn.data.loaders import Loader
from unlearn.data.splits import Batch
from unlearn.errors import UserError
from unlearn.methods.bad_teacher import BadTeacher
from unlearn.methods.bad_teacher_similarity import BadTeacherSimilarity
from unlearn.methods.contrastive_finetune import (
    ContrastiveFinetune,
    contrast,
    uniform_divergence,
)
from unlearn.methods.parts.layers import last_linear, penultimate_features
from unlearn.methods.parts.sampling import fresh_seed, random_sample
from unlearn.methods.parts.similarity import nearest, similarity_sample
from unlearn.problem import ProblemView


def gradients(net: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(net.parameters())))


def test_neggrad_climbs_the_cross_entropy() -> None:
    net, forget = linear(), images(7, 2, 3, seed=1)
    ascent = gradients(net, F.cross_entropy(net(forget.tensors[0]), forget.tensors[1]))
    unlearned = unlearn_model(net, "neggrad", forget=forget, lr=0.1, epochs=1)
    for new, old, gradient in zip(unlearned.parameters(), net.parameters(), ascent, strict=True):
        torch.testing.assert_close(new, old + 0.1 * gradient)


def test_advanced_neggrad_steps_along_retain_minus_lambda_forget() -> None:
    net, retain, forget = linear(), images(9, 2, 3, seed=1), images(7, 2, 3, seed=2)
    joint = F.cross_entropy(net(retain.tensors[0]), retain.tensors[1]) - 0.3 * F.cross_entropy(
        net(forget.tensors[0]), forget.tensors[1]
    )
    how = {"forget_weight": 0.3, "lr": 0.1, "weight_decay": 0.0, "optimizer": "sgd"}
    unlearned = unlearn_model(net, "advanced_neggrad", forget=forget, retain=retain, **how)
    for new, old, gradient in zip(
        unlearned.parameters(), net.parameters(), gradients(net, joint), strict=True
    ):
        torch.testing.assert_close(new, old - 0.1 * gradient)


# ---- competent and incompetent teachers -----------------------------------------------------


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


def bad_teacher(**how: object) -> BadTeacher:
    values = {"temperature": 1.0, "lr": 0.1, "weight_decay": 0.0, "epochs": 1, "batch_size": 8}
    return BadTeacher(**{**values, **how})  # type: ignore[arg-type]


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


def test_teachers_need_classes() -> None:
    sides = {"retain": images(9, 4, None, seed=1), "forget": images(5, 4, None, seed=2)}
    for name in ("bad_teacher", "bad_teacher_similarity", "contrastive_finetune"):
        with pytest.raises(UserError, match="classification only"):
            unlearn_model(convolutional(1), name, **sides)


def test_seeds_of_fresh_networks_are_none_a_person_would_type() -> None:
    seeds = [fresh_seed(torch.Generator().manual_seed(s)) for s in range(20)]
    assert len(set(seeds)) == 20 and min(seeds) >= 2**32


def test_random_sample_is_part_of_the_split_in_stored_order() -> None:
    problem = problem_from(linear(), images(9, 2, 3, seed=1), images(30, 2, 3, seed=2))
    split = problem.splits["retain"]
    sample = random_sample(split, 12.4, torch.Generator().manual_seed(0))
    assert len(sample) == 12 and sample.index.tolist() == sorted(sample.index.tolist())
    assert len(random_sample(split, 0.001, torch.Generator())) == 1
    assert len(random_sample(split, 99, torch.Generator())) == 30


# ---- similarity-based sampling --------------------------------------------------------------


def test_nearest_counts_a_hand_made_example_in_any_batching() -> None:
    """Directions in the plane, in degrees; two retain examples tie at 90."""
    forget, retain = (
        torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], 1)
        for degrees in (
            torch.tensor([0.0, 88.0], dtype=torch.float64),
            torch.tensor([90.0, 10.0, 180.0, 90.0, 20.0, 5.0], dtype=torch.float64),
        )
    )
    for size in (1, 2, 4, 6):
        chosen = nearest(forget, retain.split(size), k=3)
        assert chosen.tolist() == [[5, 1, 4], [0, 3, 4]]
    counts = chosen.flatten().bincount(minlength=6)
    assert counts.tolist() == [1, 1, 0, 1, 2, 1]
    assert nearest(forget, iter([retain[:2]]), k=3).shape == (2, 2)


@pytest.mark.parametrize("size", [7, 64, 1000])
def test_ties_between_neighbours_go_by_position(size: int) -> None:
    forget, retain = torch.eye(2)[:1], torch.eye(2)[0].expand(1000, 2)
    assert nearest(forget, retain.split(size), k=4).tolist() == [[0, 1, 2, 3]]


def test_similarity_sample_takes_the_most_chosen_then_chance() -> None:
    counts = torch.tensor([1, 1, 0, 1, 2, 1, 0, 0, 0, 0])
    seen = torch.zeros(10)
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        positions, weights = similarity_sample(counts, 4, 0.5, generator)
        assert positions.tolist() == sorted(set(positions.tolist())) and len(positions) == 4
        assert {0, 4} <= set(positions.tolist())  # the ties of count 1 go by position
        raw = counts[positions].clamp_min(1)
        torch.testing.assert_close(weights, raw / raw.float().mean())
        assert float(weights.mean()) == pytest.approx(1)
        seen[positions] += 1
    others = seen[[1, 2, 3, 5, 6, 7, 8, 9]] / 200  # each is drawn with probability 2 / 8
    assert (others - 0.25).abs().max() < 0.12
    # where fewer were chosen than the share asks for, chance fills up; never more than there are
    assert len(similarity_sample(counts, 10, 1.0, torch.Generator())[0]) == 10
    assert len(similarity_sample(counts, 99, 0.5, torch.Generator())[0]) == 10


def test_penultimate_features_are_what_enters_the_last_layer() -> None:
    net, data = convolutional(3).eval(), images(7, 4, 3, seed=1)
    problem = problem_from(net, data, None)
    loader = problem.loader(problem.splits["forget"], 4, device=CPU)
    features = torch.cat(list(penultimate_features(net, loader)))
    expected = F.normalize(net[:-1](data.tensors[0]), dim=1)
    torch.testing.assert_close(features, expected)
    assert last_linear(net) is net[-1]
    with pytest.raises(UserError, match="last linear layer"):
        last_linear(nn.Conv2d(1, 1, 1))


def similarity_method() -> BadTeacherSimilarity:
    return BadTeacherSimilarity(
        neighbours=3,
        similar_share=0.5,
        retain_scale=3.0,
        temperature=1.0,
        teacher_lr=1e-3,
        teacher_weight_decay=0.0,
        teacher_epochs=2,
        lr=1e-3,
        weight_decay=0.0,
        epochs=1,
        batch_size=5,
    )


def test_similarity_teachers_alternate_and_weigh() -> None:
    retain, forget = images(40, 4, 3, seed=1), images(10, 4, 3, seed=2)
    method = started(similarity_method(), convolutional(3), retain, forget)
    train, distil = method.phases()
    assert train.data == "retain"  # the incompetent teacher never sees the forget set
    loader = method.make_loader(distil)
    flags = [batch.is_forget for batch in loader]
    assert len(flags) == len(loader) == 12  # 30 retain examples in batches of 5, twice
    assert all(flag.all() for flag in flags[::2]) and not any(flag.any() for flag in flags[1::2])
    sample = method.weights[method.sample.index]
    assert float(sample.mean()) == pytest.approx(1) and sample.unique().numel() > 1
    assert (method.weights[40:] == 1).all()

    batch = list(loader)[1]
    method.net.load_state_dict(method.teacher.state_dict())
    method.freeze_teacher()
    p = method.original(batch.x).softmax(1)
    divergence = (p * (p.log() - method.net(batch.x).log_softmax(1))).sum(1)
    expected = (method.weights[batch.index] * divergence).mean()
    torch.testing.assert_close(method.loss(batch), expected)


def test_similarity_teacher_is_trained_then_frozen() -> None:
    sides = images(40, 4, 3, seed=1), images(10, 4, 3, seed=2)
    fresh = started(similarity_method(), convolutional(3), *sides).teacher
    method = fitted(similarity_method(), convolutional(3), *sides)
    assert not torch.equal(fresh[0].weight, method.teacher[0].weight)
    assert not method.teacher.training
    assert method.steps_done == 2 * 8 + 12


# ---- contrastive fine-tuning ----------------------------------------------------------------


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
