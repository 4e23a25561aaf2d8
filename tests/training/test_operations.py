"""Counted operations: known answers, the same however a model is trained, and no trace in it."""

import copy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.compose import compose_job, options
from support.given import given_values
from support.problems import convolutional, images, linear
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from unlearn.api import problem_from
from unlearn.errors import UserError
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.methods.finetune import Finetune
from unlearn.methods.fisher import FisherForgetting
from unlearn.methods.parts.optimizers import optimizer
from unlearn.methods.scrub import SCRUB
from unlearn.methods.ssd import SSD
from unlearn.models.vit import ViT
from unlearn.problem import UnlearningProblem
from unlearn.programs.building import build
from unlearn.programs.composing import problem_of, references_of, settings_of
from unlearn.training import bank
from unlearn.training.fit import Costs, fit, peak_memory
from unlearn.training.operations import OperationCounter
from unlearn.training.stacking.width import Effort
from unlearn.training.trainer import TrainerSettings

CPU = TrainerSettings(accelerator="cpu")
RETAIN, FORGET = 10, 6
# Of an example: `linear` maps 4 pixels to 3 classes.
FORWARD = 2 * 4 * 3
# The weight's gradient; that of the image is not asked for.
BACKWARD = 2 * 4 * 3


def counted(method: UnlearningMethod, net: nn.Module | None = None, seed: int = 0) -> Costs:
    """Costs of a run on ten images to retain and six to forget."""
    net = linear() if net is None else net
    retain, forget = images(RETAIN, 2, 3, 1), images(FORGET, 2, 3, 2)
    view = problem_from(net, forget, retain).view(method.requires)
    return fit(method, net, view, seed=seed, settings=CPU)


def finetune(**changed: Any) -> Finetune:
    values = {"lr": 0.1, "weight_decay": 0.0, "epochs": 2, "batch_size": 4}
    return Finetune(**{**values, **changed})


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


# ---- known answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 64])
def test_a_linear_network_by_hand(batch_size: int) -> None:
    costs = counted(finetune(batch_size=batch_size))
    assert costs.operations == 2 * RETAIN * (FORWARD + BACKWARD)


def test_two_layers_by_hand() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    first, second = 2 * 4 * 8, 2 * 8 * 3
    # The second layer hands a gradient on to the first.
    assert counted(finetune(), net).operations == 2 * RETAIN * (2 * first + 3 * second)


@pytest.mark.parametrize("groups", [1, 3])
def test_convolutions_by_hand(groups: int) -> None:
    net = nn.Conv2d(3, 6, 3, padding=1, groups=groups)
    x = torch.randn(5, 3, 4, 4, requires_grad=True)
    once = 5 * 2 * (4 * 4) * 6 * (3 // groups) * (3 * 3)
    with OperationCounter() as counter:
        out = net(x)
    assert counter.total == once
    with OperationCounter() as counter:
        out.sum().backward()
    assert counter.total == 2 * once


def test_evaluation_costs_what_a_forward_pass_costs() -> None:
    """Without gradients torch fuses attention; nothing may get lost."""
    net = ViT(
        in_channels=1, image_size=8, num_outputs=3, patch_size=4, layers=2, heads=2, width=8,
        mlp_width=16,
    )  # fmt: skip
    x, totals = torch.randn(3, 1, 8, 8), []
    for train, context in ((True, torch.enable_grad), (False, torch.no_grad)):
        with OperationCounter() as counter, context():
            net.train(train)(x)
        totals.append(counter.total)
    with OperationCounter() as counter, torch.inference_mode():
        net(x)
    tokens, width = 5, 8
    block = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * 16
    patches, head = 4 * width * 16, width * 3
    by_hand = 3 * 2 * (patches + 2 * block + head)
    assert [*totals, counter.total] == [by_hand] * 3


def test_importances_of_a_one_shot_method_are_counted() -> None:
    costs = counted(SSD(alpha=10.0, dampening=1.0, batch_size=4))
    # Of the forget set, and of retain and forget set together.
    assert costs.operations == (FORGET + RETAIN + FORGET) * (FORWARD + BACKWARD)
    assert costs.steps == 0


def test_teachers_are_counted() -> None:
    scrub = SCRUB(
        alpha=1.0, gamma=1.0, temperature=2.0, lr=0.01, weight_decay=0.0, epochs=3,
        maximise_epochs=1, batch_size=4,
    )  # fmt: skip
    examples = 1 * FORGET + 3 * RETAIN
    assert counted(scrub).operations == examples * (FORWARD + BACKWARD + FORWARD)


def test_a_frozen_network_has_no_backward_pass() -> None:
    class Head(UnlearningMethod):
        requires = ("forget",)

        def phases(self) -> list[Phase]:
            self.net[1].requires_grad_(False)  # type: ignore[index]
            return [Phase("head", "forget", 1, optimizer("sgd", 0.1), batch_size=4)]

        def loss(self, batch: Any) -> Tensor:
            return self.task.criterion(self.net(batch.x), batch.y)

    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    first, second = 2 * 4 * 8, 2 * 8 * 3
    assert counted(Head(), net).operations == FORGET * (first + 2 * second)


@pytest.mark.parametrize(("memory_gb", "forward_passes"), [(1.0, 1), (1e-9, 3)])
def test_gradients_of_single_examples_are_counted(memory_gb: float, forward_passes: int) -> None:
    """Vectorised over examples and classes, as much work as one by one; with memory for one class
    at a time, a forward pass for each of the three."""
    net = convolutional(3).eval()
    retain, forget = images(RETAIN, 4, 3, 1), images(FORGET, 4, 3, 2)
    with OperationCounter() as by_hand:
        for x, _ in retain:
            for _ in range(forward_passes):
                outputs = net(x[None]).log_softmax(1)[0]
            for output in outputs:
                torch.autograd.grad(output, list(net.parameters()), retain_graph=True)
    method = FisherForgetting(alpha=1e-9, batch_size=4, memory_gb=memory_gb)
    view = problem_from(net, forget, retain).view(method.requires)
    costs = fit(method, net, view, seed=0, settings=CPU)
    # The mean over classes is a product too, of three probabilities with what they weigh: all
    # squared gradients, and three outputs.
    gradients = sum(parameter.numel() for parameter in net.parameters())
    assert costs.operations == by_hand.total + RETAIN * 2 * 3 * (gradients + 3)


# ---- the same however it is trained --------------------------------------------------------------


def test_retraining_costs_what_retraining_costs(tmp_path: Path) -> None:
    """The method alone, the references in a stack: exactly 100 %."""
    job = compose_job("method=retrain", "recipe.epochs=2", "trainer=cpu", home=tmp_path)
    references, problem = references_of(job), problem_of(job)
    references.train_bank("retrained", [5, 6, 7], at_once=3)
    stacked = [references.costs("retrained", seed) for seed in (5, 6, 7)]
    assert {costs["trained_at_once"] for costs in stacked} == {3}
    method = build(job.values["method"], "method")
    net = references.net("original", 0)
    alone = fit(method, net, problem.view(method.requires), seed=0, settings=CPU)
    assert {costs["operations"] for costs in stacked} == {alone.operations}


@pytest.mark.parametrize("number", [1, 2])
def test_threads_do_not_matter(number: int) -> None:
    with threads(number):
        single = counted(finetune()).operations
        found = []
        given = problem_from(linear(), images(FORGET, 2, 3, 2), images(RETAIN, 2, 3, 1))
        bank.fit_bank(
            lambda seed: (finetune(), linear(), given.view(("retain",))),
            [1, 2, 3],
            settings=CPU,
            at_once=3,
            finished=lambda seed, method, costs: found.append(costs.operations),
        )
    assert found == [single] * 3 == [2 * RETAIN * (FORWARD + BACKWARD)] * 3


# ---- every method --------------------------------------------------------------------------------

# Long methods are cut short, by the names that their lengths have.
SHORT = {
    "epochs": 1, "twin_epochs": 1, "teacher_epochs": 1, "poison_epochs": 1, "maximise_epochs": 1,
    "cycles": 2, "rounds": 1, "forget_steps": 3, "retain_steps": 3, "noise_steps": 3, "draws": 3,
    "copies": 5,
}  # fmt: skip


def of_short_run(name: str, home: Path) -> tuple[Any, UnlearningProblem, nn.Module]:
    """A method, a problem that it supports and an original model."""
    for forget in ("random_10_percent", "class", "subclass"):
        words = (f"method={name}", f"forget={forget}", *given_values("method", name, home))
        job = compose_job(*words, "recipe.epochs=2", "trainer=cpu", home=home)
        values = dict(job.values["method"])
        values |= {key: value for key, value in SHORT.items() if key in values}
        method = build(values, "method")
        try:
            problem = problem_of(job)
            method.check_supports(problem.view(method.requires))
        except UserError:
            continue
        assert settings_of(job).device.type == "cpu"
        return method, problem, references_of(job).net("original", 0)
    raise AssertionError(f"{name} supports no forget set")


@pytest.mark.parametrize("name", options("method"))
def test_every_method_is_counted_whole_and_without_a_trace(
    name: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, problem, original = of_short_run(name, home)

    def run() -> tuple[Costs, dict[str, Tensor], Tensor]:
        method = copy.deepcopy(made)
        net = copy.deepcopy(original)
        costs = fit(method, net, problem.view(method.requires), seed=3, settings=CPU)
        return costs, method.net.state_dict(), torch.get_rng_state()

    costs, state, random = run()
    trains = name != "original" and not made.done_elsewhere
    assert (costs.operations > 0) == trains  # type: ignore[operator]
    with OperationCounter() as whole:  # watches all steps, not one of every kind
        run()
    assert costs.operations == whole.total
    monkeypatch.setattr(OperationCounter, "__enter__", lambda self: self)
    monkeypatch.setattr(OperationCounter, "__exit__", lambda *_: None)
    unwatched, plain, plain_random = run()
    assert unwatched.operations == 0
    assert torch.equal(random, plain_random)
    assert all(torch.equal(state[key], value) for key, value in plain.items())


def test_doing_nothing_costs_nothing(home: Path) -> None:
    method, problem, net = of_short_run("original", home)
    costs = fit(method, net, problem.view(method.requires), seed=0, settings=CPU)
    paid = (costs.seconds, costs.prepare_seconds, costs.steps, costs.examples_read)
    assert (*paid, costs.operations, costs.peak_memory) == (0, 0, 0, 0, 0, 0)


def test_what_was_trained_elsewhere_has_no_count() -> None:
    assert Costs.unknown().operations is None


# ---- no trace ------------------------------------------------------------------------------------


def test_counting_a_stack_leaves_its_members_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    start = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()

    def run() -> tuple[list[Tensor], Tensor]:
        given = problem_from(start, images(FORGET, 2, 3, 2), images(RETAIN, 2, 3, 1))
        ends: list[Tensor] = []
        with threads(1):
            bank.fit_bank(
                lambda seed: (finetune(), copy.deepcopy(start), given.view(("retain",))),
                [1, 2, 3],
                settings=CPU,
                at_once=3,
                finished=lambda seed, method, costs: ends.append(method.net[1].weight.detach()),
            )
        return ends, torch.get_rng_state()

    ends, random = run()
    monkeypatch.setattr(bank, "rehearse", lambda *_: Effort(0, 0, 0.0))
    plain, plain_random = run()
    assert torch.equal(random, plain_random)
    assert all(torch.equal(a, b) for a, b in zip(ends, plain, strict=True))
    assert not torch.equal(ends[0], ends[1])


@pytest.mark.parametrize("where", ["prepare", "loss"])
def test_a_run_that_fails_is_no_longer_watched(where: str) -> None:
    def fail(*_: Any) -> Any:
        raise UserError("no")

    method = finetune()
    setattr(method, where, fail)
    with pytest.raises(UserError, match="no"):
        counted(method)
    assert _get_current_dispatch_mode() is None


def test_a_pass_that_is_broken_off_or_nested_is_counted() -> None:
    class Peeks(UnlearningMethod):
        requires = ("retain", "forget")

        def prepare(self) -> None:
            def loader(split: Any) -> Any:
                return self.data.loader(split, 2, device=self.device)

            with torch.no_grad():
                for number, batch in enumerate(loader(self.data.retain)):
                    if number == 2:  # after four examples
                        break
                    self.net(batch.x)
                for _ in loader(self.data.forget):  # three batches
                    for inner in loader(self.data.retain):
                        self.net(inner.x)
                # Both read side by side, until the shorter one ends.
                for one, other in zip(
                    loader(self.data.retain), loader(self.data.forget), strict=False
                ):
                    self.net(one.x)
                    self.net(other.x)
                self.net(batch.x)

    costs = counted(Peeks())
    assert costs.operations == (4 + 3 * RETAIN + 2 * FORGET + 2) * FORWARD


def test_peak_memory_is_unknown_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    measured = peak_memory(cpu)
    assert measured is None or measured > 2**20
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert peak_memory(cpu) is None
