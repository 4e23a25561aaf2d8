"""The methods of the JiT study: goldens of the authors' code, closed forms, invariants."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.compose import REFERENCE
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from unlearn.api import unlearn_model
from unlearn.data.loaders import Loader
from unlearn.data.splits import Split
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.random import RandomForget
from unlearn.forget_sets.subclass import SubclassForget
from unlearn.forget_sets.whole_class import ClassForget
from unlearn.methods.amnesiac import wrong_labels
from unlearn.methods.emmn import EMMN
from unlearn.methods.fisher import FisherForgetting, noise_variance
from unlearn.methods.gkt import GKT, gate, one_cycle
from unlearn.methods.jit import JiT, lipschitz_quotients
from unlearn.methods.parts.attention import attention_map, outputs_and_attention
from unlearn.methods.parts.distillation import distillation_loss, kl_divergence, soft_targets
from unlearn.methods.parts.fisher_information import fisher_diagonal
from unlearn.methods.parts.image_generator import ImageGenerator
from unlearn.methods.parts.noise import copies, learn_noise
from unlearn.methods.unsir import UNSIR, first_of_each
from unlearn.problem import UnlearningProblem
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings

GOLDEN = REFERENCE / "methods.npz"
CPU = torch.device("cpu")


def tiny_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    ).double()


class Golden:
    """The authors' inputs and results."""

    def __init__(self) -> None:
        if not GOLDEN.is_file():
            pytest.skip("the reference outputs (shared/golden) are not beside this checkout")
        self.arrays = np.load(GOLDEN)
        self.net = tiny_network()
        self.net.load_state_dict(self.state("original"))
        self.data = {
            name: TensorDataset(self[f"x_{name}"], self[f"y_{name}"].long())
            for name in ("retain", "forget")
        }

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.arrays[key]))

    def state(self, prefix: str) -> dict[str, Tensor]:
        keys = [key for key in self.arrays.files if key.startswith(f"{prefix}/")]
        return {key[len(prefix) + 1 :]: self[key] for key in keys}


@pytest.fixture
def golden() -> Golden:
    return Golden()


def assert_same(net: nn.Module, state: dict[str, Tensor]) -> None:
    assert set(state) == set(net.state_dict())
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=1e-8, msg=key)


def toy_problem(rule: Any, *, fine: Tensor | None = None) -> UnlearningProblem:
    """Five classes of 8 x 8 images that differ in their mean pattern."""
    test_fine = None if fine is None else fine[:20]
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(100) % 5
    patterns = torch.randn(5, 3, 8, 8, generator=generator, dtype=torch.float64)
    x = patterns[y] + 0.3 * torch.randn(100, 3, 8, 8, generator=generator, dtype=torch.float64)
    return UnlearningProblem(
        tables={"train": Table(x, y, fine=fine), "test": Table(x[:20], y[:20], fine=test_fine)},
        task=Task("classification", 5),
        forget=rule,
        build_network=tiny_network,
        recipe=None,
        description={},
        content_id="",
        name="toy",
    )


def run(method: Any, problem: UnlearningProblem, net: nn.Module | None = None) -> nn.Module:
    net = problem.fresh_network(1) if net is None else net
    fit(
        method,
        net,
        problem.view(method.requires),
        seed=0,
        settings=TrainerSettings(accelerator="cpu"),
    )
    return net


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network that knows the toy problem."""
    problem = toy_problem(RandomForget(count=10))
    net = problem.fresh_network(0)
    x, y = problem.tables["train"].images, problem.tables["train"].targets
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    net.zero_grad()
    return net.eval()


# ---- JiT ----------------------------------------------------------------------------------------


def jit(**changes: Any) -> JiT:
    values = {"sigma": 0.3, "lr": 0.003, "draws": 5, "batch_size": 16, "clamp": True}
    return JiT(**{**values, **changes})


def test_jit_gives_the_authors_weights(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = iter(golden["jit_noise"].flatten(0, 1))
    monkeypatch.setattr(JiT, "draw_noise", lambda self, x: next(recorded))
    settings = {"sigma": 0.3, "lr": 0.003, "draws": 5, "batch_size": 16, "accumulate": True}
    net = unlearn_model(golden.net, "jit", forget=golden.data["forget"], **settings)
    assert_same(net, golden.state("jit"))


def test_jit_clears_gradients_unless_told_not_to(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = iter(golden["jit_noise"].flatten(0, 1))
    monkeypatch.setattr(JiT, "draw_noise", lambda self, x: next(recorded))
    settings = {"sigma": 0.3, "lr": 0.003, "draws": 5, "batch_size": 16}
    net = unlearn_model(golden.net, "jit", forget=golden.data["forget"], **settings)
    expected = golden.state("jit")
    # Both runs share their first step; the second step of the script adds the first gradient again.
    weight = dict(net.named_parameters())["8.weight"].detach()
    start = golden.state("original")["8.weight"]
    assert (expected["8.weight"] - weight).norm() > 0.2 * (weight - start).norm()


def test_jit_of_a_scaled_identity_is_the_scale() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 12, bias=False)).double()
    net[1].weight.data = -1.7 * torch.eye(12, dtype=torch.float64)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    noised = x + torch.randn_like(x)
    quotients = lipschitz_quotients(x, net(x), noised, net(noised))
    torch.testing.assert_close(quotients, torch.full((4,), 1.7, dtype=torch.float64))


def test_jit_of_a_linear_map_lies_between_its_singular_values() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 6, dtype=torch.float64)
    x = torch.randn(50, 6, dtype=torch.float64)
    noised = x + torch.randn_like(x)
    quotients = lipschitz_quotients(x, x @ weight.T, noised, noised @ weight.T)
    singular = torch.linalg.svdvals(weight)
    assert quotients.min() >= singular[-1] and quotients.max() <= singular[0]


def test_jit_sums_over_images_averages_over_draws_and_detaches_the_noisy_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """f(x) = a x: the loss is |a| an image, its gradient sign(a d) x / |d| for the noise d."""
    a, lr = -2.0, 0.01
    x = torch.tensor([0.5, -1.25, 2.0], dtype=torch.float64)
    noise = torch.tensor([[0.4, 0.1, -0.2], [-0.3, 0.8, 0.5]], dtype=torch.float64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 1, bias=False)).double()
    net[1].weight.data.fill_(a)
    draws = iter(noise.view(2, 3, 1, 1, 1))
    monkeypatch.setattr(JiT, "draw_noise", lambda self, x: next(draws))
    losses = []
    equation = JiT.loss
    monkeypatch.setattr(JiT, "loss", lambda self, b: losses.append(equation(self, b)) or losses[-1])
    images = TensorDataset(x.view(3, 1, 1, 1), torch.zeros(3, dtype=torch.float64))
    settings = {"sigma": 1.0, "lr": lr, "draws": 2, "batch_size": 3, "clamp": False}
    unlearned = unlearn_model(net, "jit", forget=images, **settings)
    assert losses[0].item() == pytest.approx(3 * abs(a))
    # z - sg[z~] = a x - a (x + d) = -a d, hence the sign.
    gradient = (torch.sign(-a * noise) * x / noise.abs()).sum() / 2
    assert float(unlearned[1].weight) == pytest.approx(a - lr * float(gradient))


def test_jit_noise_stays_within_the_extremes_of_the_batch(
    trained: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(
        "unlearn.methods.jit.lipschitz_quotients",
        lambda x, z, noised, w: seen.extend((x, noised)) or lipschitz_quotients(x, z, noised, w),
    )
    problem = toy_problem(RandomForget(count=10))
    run(jit(sigma=5.0, draws=1, lr=1e-9), problem, problem.fresh_network(0))
    x, noised = seen
    assert noised.min() == x.min() and noised.max() == x.max()
    assert (noised == x.max()).sum() > 10


def test_jit_moves_batch_norm_statistics_only_when_told_to(trained: nn.Module) -> None:
    problem = toy_problem(RandomForget(count=10))
    kept = run(jit(), problem, copy_of(trained))
    moved = run(jit(train_mode=True), problem, copy_of(trained))
    assert torch.equal(kept[1].running_mean, trained[1].running_mean)
    assert not torch.equal(moved[1].running_mean, trained[1].running_mean)


@pytest.mark.parametrize("name,value", [("sigma", 0.0), ("lr", 0.0), ("draws", 0)])
def test_jit_refuses_values_that_mean_nothing(name: str, value: float) -> None:
    with pytest.raises(UserError, match=name):
        jit(**{name: value})


# ---- SCRUB and distillation ---------------------------------------------------------------------


def test_scrub_gives_the_authors_weights(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Loader, "order", lambda self: torch.arange(len(self.split)))
    settings = {"alpha": 0.5, "gamma": 1.0, "temperature": 4.0, "lr": 0.05, "weight_decay": 0.0}
    steps = {"epochs": 1, "maximise_epochs": 1, "batch_size": 16, "optimizer": "sgd"}
    net = unlearn_model(golden.net, "scrub", **golden.data, **settings, **steps)
    assert_same(net, golden.state("scrub"))


def test_scrub_keeps_its_momentum_between_passes(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maximise over one batch, minimise over one: by hand with a single optimizer."""
    forget, retain = golden.data["forget"], golden.data["retain"]
    settings = {"alpha": 0.5, "gamma": 1.0, "temperature": 4.0, "lr": 0.05, "weight_decay": 0.01}
    steps = {"epochs": 2, "maximise_epochs": 1, "batch_size": 64, "optimizer": "momentum"}
    monkeypatch.setattr(Loader, "order", lambda self: torch.arange(len(self.split)))
    unlearned = unlearn_model(golden.net, "scrub", **golden.data, **settings, **steps)
    net, teacher = tiny_network(), golden.net.eval()
    net.load_state_dict(teacher.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for sign, data in ((-1, forget), (1, retain), (1, retain)):
        x, y = data.tensors
        outputs = net(x)
        log_p = (outputs / 4).log_softmax(1)
        kd = 16 * F.kl_div(log_p, (teacher(x) / 4).softmax(1).detach(), reduction="batchmean")
        loss = -kd if sign < 0 else F.cross_entropy(outputs, y) + 0.5 * kd
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert_same(unlearned, net.state_dict())


def test_divergence_is_torch_kl_div_and_its_element_mean() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 7, 5, dtype=torch.float64)
    target = soft_targets(teacher, 3.0)
    log_student = (student / 3).log_softmax(1)
    by_batch = F.kl_div(log_student, target, reduction="batchmean")
    by_element = F.kl_div(log_student, target, reduction="none").mean()
    torch.testing.assert_close(kl_divergence(student, target, 3.0), by_batch)
    torch.testing.assert_close(kl_divergence(student, target, 3.0, "element"), by_element)
    torch.testing.assert_close(distillation_loss(student, teacher, 3.0), 9 * by_batch)


def test_divergence_of_one_hot_targets_is_finite() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0]], requires_grad=True)
    value = kl_divergence(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    value.backward()
    assert float(value) == pytest.approx(float(F.cross_entropy(logits, torch.tensor([0]))))
    assert torch.isfinite(logits.grad).all()


# ---- Amnesiac -----------------------------------------------------------------------------------


def test_wrong_labels_are_uniform_over_what_is_allowed() -> None:
    labels = torch.full((6000,), 2)
    drawn = wrong_labels(labels, 5, (4,), torch.Generator().manual_seed(0))
    counts = drawn.bincount(minlength=5).tolist()
    assert counts[2] == counts[4] == 0
    # Three classes, binomial(6000, 1/3) each: standard deviation 36.5; five of them.
    assert all(abs(counts[c] - 2000) < 183 for c in (0, 1, 3))


def test_wrong_labels_are_never_ones_own() -> None:
    labels = torch.arange(1000) % 10
    assert not (wrong_labels(labels, 10, (), torch.Generator().manual_seed(1)) == labels).any()


def test_wrong_labels_need_a_class_to_choose() -> None:
    with pytest.raises(ValueError, match="banned"):
        wrong_labels(torch.tensor([0]), 2, (1,), torch.Generator())


# ---- Fisher -------------------------------------------------------------------------------------


def fisher_by_hand(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    totals = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for image in x:
        outputs = net(image[None])
        for label, p in enumerate(outputs.softmax(1)[0].detach()):
            loss = F.cross_entropy(outputs, torch.tensor([label]))
            gradients = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True)
            for total, gradient in zip(totals.values(), gradients, strict=True):
                total += p * gradient.square() / len(x)
    return totals


@pytest.mark.parametrize("memory_gb", [1.0, 4e-5, 1e-9])  # all at once; few; one by one
def test_fisher_information_is_exact_however_it_is_grouped(
    trained: nn.Module, memory_gb: float
) -> None:
    problem = toy_problem(RandomForget(count=10))
    loader = problem.loader(problem.splits["retain"].take(range(9)), 4, device=CPU)
    x = torch.cat([batch.x for batch in loader])
    information = fisher_diagonal(trained, loader, 5, memory_gb=memory_gb)
    for name, expected in fisher_by_hand(trained, x).items():
        torch.testing.assert_close(information[name], expected, msg=name)


def test_fisher_variance_is_clamped() -> None:
    information = torch.tensor([[0.0, 1.0], [4.0, 1e-2], [1e6, 1e6]], dtype=torch.float64)
    inverse = 1 / (information + 1e-8)
    hidden = noise_variance(information, 5, 1e-6)
    torch.testing.assert_close(hidden[0], (1e-6 * (1000 + inverse[0, 1]) / 2).expand(2))
    last = noise_variance(information, 3, 1e-6)
    torch.testing.assert_close(last[0, 0], 1e-6 * (100 + inverse[0, 1]) / 2)
    torch.testing.assert_close(
        last[1, 1], 1e-6 * (inverse[1, 0] + inverse[1, 1].clamp_max(100)) / 2
    )
    vector = noise_variance(torch.zeros(4, dtype=torch.float64), 5, 1e-6)
    torch.testing.assert_close(vector, torch.full((4,), 1e-2, dtype=torch.float64))


def test_fisher_forgotten_rows_get_their_own_variance() -> None:
    information = torch.ones(3, 4, dtype=torch.float64)
    variance = noise_variance(information, 3, 1e-6, (1,))
    torch.testing.assert_close(variance[1], torch.full((4,), 1e-3, dtype=torch.float64))
    torch.testing.assert_close(variance[0], torch.full((4,), 1e-5, dtype=torch.float64))
    bias = noise_variance(torch.zeros(3, dtype=torch.float64), 3, 1e-6, (1,))
    torch.testing.assert_close(bias, torch.tensor([1e-3, 1e-3, 1e-3], dtype=torch.float64))
    hidden = noise_variance(torch.ones(6, 4, dtype=torch.float64), 3, 1e-6, (1,))
    torch.testing.assert_close(hidden, torch.full((6, 4), 1e-6, dtype=torch.float64))


def test_fisher_forgets_the_class_and_reads_no_forget_image(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    net = run(
        FisherForgetting(alpha=1e-12, batch_size=16, memory_gb=1.0), problem, copy_of(trained)
    )
    # With hardly any noise elsewhere only the row of the class moves, to N(0, 1e-3).
    change = net[8].weight - trained[8].weight
    assert net[8].weight[2].abs().max() < 6 * 1e-3**0.5
    assert change[[0, 1, 3, 4]].abs().max() < 1e-3


# ---- Noise, UNSIR, EMMN -------------------------------------------------------------------------


def copy_of(net: nn.Module) -> nn.Module:
    fresh = tiny_network()
    fresh.load_state_dict(net.state_dict())
    return fresh.eval()


def noise_for(net: nn.Module, labels: Tensor, **changes: Any) -> Tensor:
    settings: dict[str, Any] = {"maximise": True, "steps": 25, "lr": 0.1, "penalty": 0.0}
    generator = torch.Generator().manual_seed(3)
    settings |= {"per_class": 4, "generator": generator, **changes}
    return learn_noise(net, labels, (3, 8, 8), **settings)


def test_noise_raises_or_lowers_the_loss_of_its_class(trained: nn.Module) -> None:
    labels = torch.tensor([2, 2, 2, 2])
    before = F.cross_entropy(trained(noise_for(trained, labels, steps=0)), labels)
    hard = F.cross_entropy(trained(noise_for(trained, labels)), labels)
    easy = F.cross_entropy(trained(noise_for(trained, labels, maximise=False)), labels)
    assert hard > before + 1 and easy < before / 2
    assert all(parameter.grad is None for parameter in trained.parameters())


def test_noise_penalty_shortens_the_images(trained: nn.Module) -> None:
    labels = torch.tensor([2, 2, 2, 2])
    free, bound = noise_for(trained, labels), noise_for(trained, labels, penalty=10.0)
    assert bound.square().sum() < 0.2 * free.square().sum()


def test_noise_does_not_depend_on_the_chunks(trained: nn.Module) -> None:
    labels = torch.arange(5).repeat_interleave(4)
    together, apart = (noise_for(trained, labels, penalty=0.1, chunk=c) for c in (128, 3))
    torch.testing.assert_close(together, apart)


def test_copies_are_stored_once() -> None:
    noise, labels = torch.randn(3, 1, 2, 2), torch.tensor([4, 0, 1])
    split = copies(noise, labels, 80)
    assert len(split) == 240 and len(split.parts[0].table) == 3
    assert split.targets.bincount().tolist() == [80, 80, 0, 0, 80]


def test_first_of_each_keeps_the_first_and_clips() -> None:
    labels = torch.tensor([1, 0, 1, 1, 0, 2])
    split = Split.from_tensors(torch.zeros(6, 1), labels)
    assert first_of_each(split, labels, 2).index.tolist() == [0, 1, 2, 4, 5]


def unsir(**changes: Any) -> UNSIR:
    values: dict[str, Any] = {"noise_images": 8, "noise_steps": 25, "noise_lr": 0.1, "copies": 10}
    values |= {"penalty": 0.1, "images_per_class": 6, "lr": 0.02, "weight_decay": 0.0}
    values |= {"impair_batch_size": 8, "repair_batch_size": 16}
    return UNSIR(**{**values, **changes})


def test_unsir_trains_on_noise_and_kept_images_then_on_kept_images() -> None:
    problem = toy_problem(ClassForget(2))
    method = unsir()
    view = problem.view(method.requires)
    fit(method, problem.fresh_network(1), view, seed=0, settings=TrainerSettings("cpu"))
    impair, repair = (phase.data for phase in method.phases())
    assert impair.targets.bincount().tolist() == [6, 6, 80, 6, 6]
    assert repair.targets.bincount().tolist() == [6, 6, 0, 6, 6]
    assert view.reads == {"retain"}


def test_unsir_of_a_subclass_takes_images_of_every_kept_subclass_and_reads_no_forget_image() -> (
    None
):
    fine = torch.arange(100) % 10  # subclasses 2 and 7 make up class 2
    problem = toy_problem(SubclassForget(7), fine=fine)
    method = unsir()
    view = problem.view(method.requires)
    fit(method, problem.fresh_network(1), view, seed=0, settings=TrainerSettings("cpu"))
    impair, repair = (phase.data for phase in method.phases())
    assert fine[repair.index].bincount(minlength=10).tolist() == [6, 6, 6, 6, 6, 6, 6, 0, 6, 6]
    assert impair.targets.bincount().tolist() == [12, 12, 86, 12, 12]
    assert not repair.is_forget.any()
    assert view.examples_read == 80 + 2 * 54


@pytest.mark.parametrize("method", [unsir(), None], ids=["unsir", "emmn"])
def test_class_methods_refuse_random_forget_sets(method: Any) -> None:
    problem = toy_problem(RandomForget(count=10))
    with pytest.raises(UserError, match="class"):
        run(method or emmn(), problem)


def emmn(**changes: Any) -> EMMN:
    values: dict[str, Any] = {"noise_images": 4, "forget_steps": 25, "retain_steps": 30}
    values |= {"noise_lr": 0.1, "penalty": 0.1, "copies": 4, "lr": 1e-3, "weight_decay": 0.0}
    return EMMN(**{**values, "epochs": 1, "batch_size": 4, **changes})


def test_emmn_reads_nothing_and_covers_every_class(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    method = emmn()
    view = problem.view(method.requires)
    fit(method, copy_of(trained), view, seed=0, settings=TrainerSettings("cpu"))
    assert view.reads == set()
    assert method.noise.targets.bincount().tolist() == [16] * 5
    x, y = method.noise.parts[0].table.images, method.noise.parts[0].table.targets
    hard = F.cross_entropy(trained(x), y)
    kept = torch.cat([part.table.images for part in method.noise.parts[1:]])
    labels = torch.cat([part.table.targets for part in method.noise.parts[1:]])
    assert (y == 2).all() and hard > 2 and F.cross_entropy(trained(kept), labels) < 0.5


def test_emmn_moves_batch_norm_statistics_only_when_told_to(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    kept = run(emmn(), problem, copy_of(trained))
    moved = run(emmn(train_mode=True), problem, copy_of(trained))
    assert torch.equal(kept[1].running_mean, trained[1].running_mean)
    assert not torch.equal(moved[1].running_mean, trained[1].running_mean)


# ---- GKT ----------------------------------------------------------------------------------------


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
    method.bind(copy_of(trained), problem.view(()), 0)
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
    fit(method, copy_of(trained), view, seed=0, settings=TrainerSettings("cpu"))
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
    method.bind(copy_of(trained), problem.view(()), 0)
    method.start(CPU)
    changed = {
        name
        for (name, p), q in zip(method.net.named_parameters(), trained.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert changed == {"0.weight", "4.weight"}
    assert torch.equal(method.teacher[0].weight, trained[0].weight)


def test_gkt_with_a_closed_gate_learns_nothing(trained: nn.Module) -> None:
    problem = toy_problem(ClassForget(2))
    method = gkt(threshold=0.0)
    net = run(method, problem, copy_of(trained))
    assert torch.equal(net[8].weight, trained[8].weight)


@pytest.mark.parametrize("total", [7, 100, 1001])
def test_one_cycle_is_torchs(total: int) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=total, cycle_momentum=False
    )
    for step in range(total - 1):
        assert 0.1 * one_cycle(step, total) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert one_cycle(total - 1, total) == pytest.approx(4e-6)


def test_attention_maps_have_unit_length_and_one_a_convolution(trained: nn.Module) -> None:
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    outputs, maps = outputs_and_attention(trained, x)
    torch.testing.assert_close(outputs, trained(x))
    assert [tuple(m.shape) for m in maps] == [(3, 64), (3, 16)]
    for m in maps:
        torch.testing.assert_close(m.norm(dim=1), torch.ones(3, dtype=torch.float64))
    single = attention_map(torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]]]))
    torch.testing.assert_close(single, torch.tensor([[9.0, 16.0]]) / (81 + 256) ** 0.5)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 30, 18)])
def test_generator_makes_images_of_the_shape_asked_for(shape: tuple[int, ...]) -> None:
    assert ImageGenerator(16, shape)(torch.randn(4, 16)).shape == (4, *shape)
