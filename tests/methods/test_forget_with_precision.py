"""The methods of "Forget with Precision": masks, poison and resets against known answers."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.problems import CPU, convolutional, fitted, images, linear, started
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.models import resnet18

from unlearn.api import problem_from, unlearn_model
from unlearn.errors import UserError
from unlearn.methods.activation_reset import ActivationReset, excited
from unlearn.methods.hybrid import Hybrid
from unlearn.methods.label_poisoning import LabelPoisoning
from unlearn.methods.label_poisoning_full import LabelPoisoningFull
from unlearn.methods.parts.layers import main_path_convolutions, mean_outputs
from unlearn.methods.parts.reinitialisation import quantile, redraw_, similar
from unlearn.methods.parts.relabelling import noisy_targets, random_labels
from unlearn.methods.selective_pruning import SelectivePruning
from unlearn.methods.selective_pruning_complex import SelectivePruningComplex
from unlearn.methods.selective_pruning_last import SelectivePruningLast

STEP: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.0, "epochs": 1, "batch_size": 16}
STILL: dict[str, Any] = {**STEP, "lr": 1e-15}  # a repair that moves nothing


# ---- label poisoning ------------------------------------------------------------------------


def test_random_labels_keep_the_own_label_once_in_c() -> None:
    own = torch.randint(10, (100_000,), generator=torch.Generator().manual_seed(1))
    drawn = random_labels(100_000, 10, torch.Generator().manual_seed(2))
    assert float((own == drawn).float().mean()) == pytest.approx(0.1, abs=0.004)
    assert drawn.bincount(minlength=10).min() > 9_500


def test_noise_on_real_targets_has_the_standard_deviation_asked_for() -> None:
    targets = torch.full((100_000,), 40.0)
    noisy = noisy_targets(targets, 17.0, torch.Generator().manual_seed(0))
    assert float(noisy.mean()) == pytest.approx(40, abs=0.2)
    assert float(noisy.std()) == pytest.approx(17, abs=0.2)


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


def test_label_poisoning_is_a_step_towards_the_drawn_labels_without_retain_data() -> None:
    net, forget = linear(), images(9, 2, 3, seed=2)
    drawn = random_labels(9, 3, torch.Generator().manual_seed(4))
    loss = F.cross_entropy(net(forget.tensors[0]), drawn)
    slopes = torch.autograd.grad(loss, list(net.parameters()))
    how = {"lr": 0.1, "weight_decay": 0.0}
    unlearned = unlearn_model(net, "label_poisoning", forget=forget, seed=4, **how)
    for new, old, slope in zip(unlearned.parameters(), net.parameters(), slopes, strict=True):
        torch.testing.assert_close(new, old - 0.1 * 1.9 * slope)  # Nesterov's first step


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


def test_hybrid_poisons_then_trains_on_true_labels() -> None:
    method = Hybrid(**STEP, poison_lr=0.1, poison_epochs=2)
    retain, forget = images(40, 4, 5, seed=1), images(30, 4, 5, seed=2)
    started(method, convolutional(5), retain, forget)
    poison, repair = method.phases()
    assert poison.data.index.tolist() == list(range(40, 70)) and poison.epochs == 2
    assert repair.data == "retain" and repair.epochs == 1
    weight = [nn.Parameter(torch.zeros(1))]
    assert [p.optimizer(weight).param_groups[0]["lr"] for p in (poison, repair)] == [0.1, 0.01]


@pytest.mark.parametrize("kind", [LabelPoisoning, LabelPoisoningFull, Hybrid])
def test_poison_in_regression_adds_noise_of_the_targets_spread(kind: type) -> None:
    retain, forget = images(400, 2, None, seed=1), images(300, 2, None, seed=2)
    extra = {"poison_lr": 1e-3, "poison_epochs": 1} if kind is Hybrid else {}
    for std, expected in ((None, float(forget.tensors[1].std())), (2.0, 2.0)):
        method = kind(**STEP, **extra, noise_std=std)
        started(method, linear(1), retain, forget)
        shift = method.phases()[0].data.targets[-300:] - forget.tensors[1]
        assert float(shift.std()) == pytest.approx(expected, rel=0.15)
    how = {**STEP, **extra, "lr": 1e-5, "batch_size": 64}
    method = fitted(kind(**how), linear(1), retain, forget)
    assert all(bool(p.isfinite().all()) for p in method.net.parameters())


# ---- quantile masks and twins ---------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.2, 0.3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_quantile_interpolates_as_torch_does(share: float, count: int) -> None:
    values = torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    torch.testing.assert_close(quantile(values, share), torch.quantile(values, share))


def test_quantile_of_a_tensor_too_large_for_torch() -> None:
    values = torch.arange(17_000_001, dtype=torch.float32)
    assert float(quantile(values, 0.3)) == pytest.approx(0.3 * 17_000_000)


def test_similar_selects_strictly_below_the_quantile() -> None:
    weight = torch.zeros(10)
    twin = torch.tensor([0.0, 9.0, -1.0, 8.0, 2.0, -7.0, 3.0, 6.0, 4.0, 5.0])
    assert similar(weight, twin, 0.3).nonzero().flatten().tolist() == [0, 2, 4]
    # position 3 of 0..9 exactly: the entry at the quantile itself is kept
    assert similar(weight[:9], twin[:9].sort().values, 0.25).sum() == 2
    assert not similar(weight, weight, 0.3).any()  # a twin that never moved redraws nothing


def test_redraw_is_kaiming_normal_on_the_mask_and_nothing_elsewhere() -> None:
    weight = torch.zeros(200, 50, 3, 3)
    mask = torch.zeros(200, 50, 3, 3, dtype=torch.bool)
    mask[:100] = True
    redraw_(weight, mask, torch.Generator().manual_seed(0))
    assert float(weight[:100].std()) == pytest.approx((2 / (50 * 9)) ** 0.5, rel=0.01)
    assert abs(float(weight[:100].mean())) < 1e-3
    assert not weight[100:].any()


TWINS: dict[str, Any] = {**STILL, "quantile": 0.3, "twin_lr": 0.01, "twin_epochs": 3}
TWO_TWINS: dict[str, Any] = {**TWINS, "retain_twin_lr": 0.01 / 3, "retain_share": 0.2}


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        (SelectivePruning(**TWINS), "all"),
        (SelectivePruningLast(**TWINS), "last"),
        (SelectivePruningComplex(**TWO_TWINS), "both"),
    ],
)
def test_pruning_redraws_what_the_twins_did_not_move(method: Any, rule: str) -> None:
    net = convolutional(4)
    start = copy.deepcopy(net)
    fitted(method, net, images(60, 4, 4, seed=1), images(24, 4, 4, seed=2))
    *twins, repair = method._phases
    assert [phase.data if isinstance(phase.data, str) else len(phase.data) for phase in twins] == (
        ["forget", 12] if rule == "both" else ["forget"]
    )
    assert repair.data == "retain"
    names = [name for name, _ in start.named_parameters()]
    redrawn = 0
    for number, (name, old, new) in enumerate(
        zip(names, start.parameters(), net.parameters(), strict=True)
    ):
        changed = (new - old).abs() > 1e-9
        expected = torch.zeros_like(changed)
        if old.dim() >= 2 and (rule != "last" or name == "9.weight"):
            distances = [(old - phase.parameters[number]).abs() for phase in twins]
            expected = torch.stack([d < torch.quantile(d, 0.3) for d in distances]).all(0)
            assert expected.sum() <= 0.3 * old.numel() + 1
        assert torch.equal(changed, expected), name
        redrawn += int(changed.sum())
    assert redrawn >= 10  # the last layer alone: 0.3 of 32 weights


def test_the_twin_overfits_the_forget_set() -> None:
    forget = images(12, 4, 4, seed=2)
    twin_steps = {**TWINS, "twin_lr": 0.05, "twin_epochs": 200}
    method = SelectivePruning(**twin_steps)
    losses = []
    overfit = started(method, convolutional(4), images(60, 4, 4, seed=1), forget).phases()[0]
    optimizer = overfit.optimizer(overfit.parameters)
    for _ in range(overfit.epochs):
        for batch in method.make_loader(overfit):
            loss = overfit.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    assert all(p.grad is None for p in method.net.parameters())


# ---- activation reset -----------------------------------------------------------------------


def test_excited_wants_more_than_the_share_of_positions() -> None:
    retain = torch.zeros(3, 2, 5)
    forget = -torch.ones(3, 2, 5)
    forget[0].flatten()[:8] = 1  # exactly 0.8: not more
    forget[1].flatten()[:9] = 1
    assert excited(forget, retain, 0.8).tolist() == [False, True, False]


def test_mean_outputs_are_the_mean_over_examples_whatever_the_batches() -> None:
    net, data = convolutional(4).eval(), images(11, 4, 4, seed=3)
    problem = problem_from(net, data, None)
    layers = main_path_convolutions(net)
    with torch.no_grad():
        first = net[0](data.tensors[0])
        second = net[3](net[2](net[1](first)))
    for size in (3, 11):
        loader = problem.loader(problem.splits["forget"], size, device=CPU)
        means = mean_outputs(net, layers, loader)
        for mean, outputs in zip(means, (first, second), strict=True):
            torch.testing.assert_close(mean, outputs.mean(0))
    assert not any(layer._forward_hooks for layer in layers)


def test_main_path_leaves_out_shortcuts() -> None:
    with torch.device("meta"):
        net = resnet18()
    assert len([m for m in net.modules() if isinstance(m, nn.Conv2d)]) == 20
    assert len(main_path_convolutions(net)) == 17
    own = nn.ModuleDict({"conv": nn.Conv2d(1, 1, 1), "shortcut": nn.Sequential(nn.Conv2d(1, 1, 1))})
    assert main_path_convolutions(own) == [own["conv"]]


def three_kernels() -> nn.Module:
    """Channels that pass the image on times 1, -1 and 0.5."""
    net = nn.Sequential(
        nn.Conv2d(1, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    ).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, -1.0, 0.5]).view(3, 1, 1, 1))
        net[0].bias.zero_()
    return net


def grey(count: int, value: float) -> TensorDataset:
    labels = torch.arange(count) % 2
    return TensorDataset(torch.full((count, 1, 4, 4), value, dtype=torch.float64), labels)


@pytest.mark.parametrize(
    ("forget", "retain", "official", "kept"),
    [
        (1.0, 0.1, False, [False, True, False]),  # brighter: the positive kernels are excited
        (0.1, 1.0, False, [True, False, True]),  # darker: the negative one is
        (0.1, 1.0, True, [False, True, False]),  # the retain mean comes out fifty times too small
    ],
)
def test_activation_reset_redraws_the_excited_kernels(
    forget: float, retain: float, official: bool, kept: list[bool]
) -> None:
    method = ActivationReset(share=0.8, retain_share=0.02, official_mean=official, **STILL)
    net = three_kernels()
    start = copy.deepcopy(net)
    fitted(method, net, grey(50, retain), grey(6, forget))
    same = (net[0].weight - start[0].weight).abs().flatten() < 1e-9
    assert same.tolist() == kept
    torch.testing.assert_close(net[0].bias, start[0].bias)
    torch.testing.assert_close(net[4].bias, start[4].bias)
    assert ((net[4].weight - start[4].weight).abs() > 1e-6).all()


# ---- settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "how", "word"),
    [
        ("selective_pruning", {"quantile": 1.5}, "method.quantile"),
        ("selective_pruning", {"twin_lr": 0.0}, "method.twin_lr"),
        ("selective_pruning_complex", {"retain_twin_lr": 0.0}, "method.retain_twin_lr"),
        ("hybrid", {"poison_epochs": 0}, "method.poison_epochs"),
        ("activation_reset", {"share": -0.1}, "method.share"),
        ("label_poisoning", {"batch_size": 0}, "method.batch_size"),
        ("label_poisoning_full", {"order": "random"}, "method.order"),
    ],
)
def test_values_out_of_range_are_named(name: str, how: dict[str, Any], word: str) -> None:
    sides = {"retain": images(9, 4, 3, seed=1), "forget": images(5, 4, 3, seed=2)}
    with pytest.raises(UserError, match=word):
        unlearn_model(convolutional(3), name, **sides, **how)
