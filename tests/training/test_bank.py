"""Banks: members that share their steps end where single runs end."""

import copy
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from unlearn.api import problem_from
from unlearn.data.loaders import Loader, StackedLoader
from unlearn.data.splits import Split
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.random import RandomForget
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.methods.finetune import Finetune
from unlearn.methods.gisa import GISA
from unlearn.methods.parts.optimizers import optimizer
from unlearn.problem import UnlearningProblem
from unlearn.recipes.recipe import Recipe
from unlearn.recipes.schedules import one_cycle
from unlearn.training import bank as ensemble
from unlearn.training import stopping
from unlearn.training.fit import Costs, fit
from unlearn.training.reference_training import ReferenceTraining
from unlearn.training.stacking.merged_channels import MergedChannels
from unlearn.training.trainer import TrainerSettings

CPU = TrainerSettings(accelerator="cpu")
SEEDS = [3, 1, 4]


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.BatchNorm2d(6, affine=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 8),
        nn.BatchNorm1d(8),
        nn.Linear(8, 3),
    ).double()


def problem(build: Callable[[], nn.Module] = network, augment: Any = ()) -> UnlearningProblem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(53, 2, 4, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (53,), generator=generator)
    return UnlearningProblem(
        tables={"train": Table(x, y), "test": Table(x[:5], y[:5])},
        task=Task("classification", 3),
        forget=RandomForget(fraction=0.25, seed=1),
        build_network=build,
        recipe=Recipe(
            epochs=3,
            batch_size=8,
            optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
            scheduler=partial(one_cycle, peak=0.1),
            augment=augment,
            gradient_clip=0.5,
        ),
        description={},
        content_id="",
        name="small",
    )


class TwoPhases(UnlearningMethod):
    """Frozen batch-norm statistics in one phase, a teacher and new statistics in the next."""

    stacks = True

    def prepare(self) -> None:
        self.teacher = copy.deepcopy(self.net).requires_grad_(False).eval()

    def phases(self) -> list[Phase]:
        sgd = optimizer("momentum", 0.05)
        head = list(self.net[-1].parameters())  # type: ignore[index]
        return [
            Phase("first", "forget", 1, sgd, batch_size=5, mode="eval", parameters=head),
            Phase("second", "paired", 2, sgd, batch_size=8, loss=self.distil, gradient_clip=0.1),
        ]

    def loss(self, batch: Any) -> Tensor:
        return -0.1 * self.task.criterion(self.net(batch.x), batch.y)

    def distil(self, batch: Any) -> Tensor:
        return F.mse_loss(self.net(batch.retain.x), self.teacher(batch.forget.x[:1]).mean())


def gisa(**changed: Any) -> GISA:
    return GISA(**{"lr": 0.01, "weight_decay": 0.01, "epochs": 2, "batch_size": 8, **changed})


def finetune(name: Any) -> Finetune:
    return Finetune(lr=0.02, weight_decay=0.01, epochs=2, batch_size=8, optimizer=name)


METHODS: dict[str, Callable[[], UnlearningMethod]] = {
    "recipe": lambda: ReferenceTraining("mixed"),
    "finetune_sgd": lambda: finetune("nesterov"),
    "finetune_adam": lambda: finetune("adam"),
    "gisa": gisa,
    "gisa_element": lambda: gisa(granularity="element", optimizer="sgd", gradient_clip=0.3),
    "two_phases": TwoPhases,
}


def bank(
    make_method: Callable[[], UnlearningMethod],
    seeds: list[int],
    at_once: int | None = None,
) -> tuple[dict[int, UnlearningMethod], dict[int, Costs], list[str]]:
    """Members by seed, their costs, and what was said."""
    given = problem()
    done: dict[int, UnlearningMethod] = {}
    paid: dict[int, Costs] = {}
    told = Told()

    def make(seed: int) -> ensemble.Member:
        return make_method(), given.fresh_network(seed), given.view(("retain", "forget"))

    def finished(seed: int, method: UnlearningMethod, costs: Costs) -> None:
        done[seed], paid[seed] = method, costs

    logger = logging.getLogger(ensemble.__name__)
    logger.addHandler(told)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        ensemble.fit_bank(make, seeds, settings=CPU, at_once=at_once, finished=finished)
    finally:
        logger.setLevel(before)
        logger.removeHandler(told)
    return done, paid, told.said


class Told(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("name", METHODS)
def test_members_end_where_single_runs_end(name: str, lanes: int) -> None:
    with threads(lanes):
        done, paid, _ = bank(METHODS[name], SEEDS, at_once=3)
    for seed in SEEDS:
        given = problem()
        alone = METHODS[name]()
        start = given.fresh_network(seed)
        before = copy.deepcopy(start.state_dict())
        costs = fit(alone, start, given.view(("retain", "forget")), seed=seed, settings=CPU)
        together = done[seed].net.state_dict()
        for key, value in alone.net.state_dict().items():
            torch.testing.assert_close(together[key], value, rtol=1e-9, atol=1e-9, msg=key)
        assert any((together[key] != before[key]).any() for key in before)
        assert not done[seed].net.training
        assert paid[seed].trained_at_once == 3
        assert paid[seed].steps == costs.steps
        assert paid[seed].examples_read == costs.examples_read
        assert paid[seed].operations == costs.operations > 0


def test_members_own_their_memory_afterwards() -> None:
    done, _, _ = bank(METHODS["finetune_sgd"], SEEDS, at_once=3)
    pointers = [p.untyped_storage().data_ptr() for m in done.values() for p in m.net.parameters()]
    assert len(set(pointers)) == len(pointers)


def test_a_loss_that_is_not_finite_names_seed_step_and_phase() -> None:
    class Fails(Finetune):
        def loss(self, batch: Any) -> Tensor:
            return super().loss(batch) / self.net[0].weight.abs().sum().sign()  # type: ignore

    given = problem()

    def make(seed: int) -> ensemble.Member:
        net = given.fresh_network(seed)
        if seed == 1:
            nn.init.zeros_(net[0].weight)  # type: ignore[index]
        method = Fails(lr=0.1, weight_decay=0, epochs=1, batch_size=8)
        return method, net, given.view(("retain",))

    with pytest.raises(UserError, match=r"seed 1: .* at step 1, in phase 'finetune'"):
        ensemble.fit_bank(
            make, SEEDS, settings=CPU, at_once=3, finished=lambda *_: pytest.fail("published")
        )


def test_methods_with_hooks_of_their_own_run_one_after_another() -> None:
    class Hooked(Finetune):
        def on_train_batch_end(self, *_: Any) -> None:
            self.seen = self.steps_done

    done, paid, said = bank(
        lambda: Hooked(lr=0.1, weight_decay=0, epochs=1, batch_size=8), SEEDS, at_once=3
    )
    assert [costs.trained_at_once for costs in paid.values()] == [1, 1, 1]
    assert all(method.seen == method.steps_done for method in done.values())  # type: ignore
    assert "on_train_batch_end" in said[0]


def test_members_with_different_groups_run_one_after_another() -> None:
    class OwnDecay(Finetune):
        def phases(self) -> list[Phase]:
            (phase,) = super().phases()
            groups = [{"params": list(self.net.parameters()), "weight_decay": 0.1 * self.seed}]
            return [Phase(**{**vars(phase), "parameters": groups})]

    _, paid, said = bank(
        lambda: OwnDecay(lr=0.1, weight_decay=0, epochs=1, batch_size=8), SEEDS, at_once=3
    )
    assert [costs.trained_at_once for costs in paid.values()] == [1, 1, 1]
    assert "parameter groups differ" in said[0]


def test_optimizers_that_mix_entries_are_not_stacked() -> None:
    class Mixing(torch.optim.SGD):
        """Could do anything."""

    class OwnOptimizer(Finetune):
        def phases(self) -> list[Phase]:
            (phase,) = super().phases()
            return [Phase(**{**vars(phase), "optimizer": partial(Mixing, lr=0.1)})]

    _, _, said = bank(
        lambda: OwnOptimizer(lr=0.1, weight_decay=0, epochs=1, batch_size=8), SEEDS, at_once=3
    )
    assert "Mixing" in said[0]


def test_who_wants_to_stop_waits_until_all_members_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGTERM comes while the first is kept."""
    monkeypatch.setattr(stopping._Asked, "error", None)
    terminate = stopping._handler(stopping.Terminated)
    given, kept = problem(), []

    def finished(seed: int, *_: Any) -> None:
        if not kept:
            terminate(signal.SIGTERM, None)
        kept.append(seed)

    with pytest.raises(stopping.Terminated):
        ensemble.fit_bank(
            lambda seed: (gisa(), given.fresh_network(seed), given.view(("retain", "forget"))),
            [3, 1, 5],
            settings=CPU,
            at_once=3,
            finished=finished,
            all_finished=lambda seeds: pytest.fail("went on"),
        )
    assert sorted(kept) == [1, 3, 5]


def test_memory_running_out_halves_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    original = ensemble.train_stacked

    def small_memory(methods: Any, *rest: Any) -> Any:
        if len(methods) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(methods, *rest)

    monkeypatch.setattr(ensemble, "train_stacked", small_memory)
    _, paid, said = bank(METHODS["finetune_sgd"], [1, 2, 3, 4, 5], at_once=5)
    assert sorted(paid) == [1, 2, 3, 4, 5]
    assert max(costs.trained_at_once for costs in paid.values()) == 2
    assert "out of memory" in said[0]


def test_members_are_published_as_soon_as_their_group_is_done() -> None:
    given, seen = problem(), []

    def make(seed: int) -> ensemble.Member:
        seen.append(("make", seed))
        return finetune("sgd"), given.fresh_network(seed), given.view(("retain",))

    ensemble.fit_bank(
        make,
        [1, 2, 3, 4],
        settings=CPU,
        at_once=2,
        finished=lambda seed, *_: seen.append(("done", seed)),
    )
    assert [sorted(seed for _, seed in seen[1:][at : at + 2]) for at in range(0, 8, 2)] == [
        [1, 2],
        [1, 2],
        [3, 4],
        [3, 4],
    ]
    assert seen[0] == ("make", 1)  # a run that is thrown away, to count its operations


def test_the_number_is_chosen_when_it_is_not_given() -> None:
    _, paid, _ = bank(METHODS["recipe"], list(range(9)))
    assert max(costs.trained_at_once for costs in paid.values()) > 1
    _, paid, _ = bank(lambda: _Unstackable(lr=0.1, weight_decay=0, epochs=1, batch_size=8), [1, 2])
    assert [costs.trained_at_once for costs in paid.values()] == [1, 1]


class _Unstackable(Finetune):
    stacks = False


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    return images + torch.randn(images.shape, generator=generator, dtype=images.dtype)


def test_every_member_draws_the_augmentation_it_draws_alone() -> None:
    given = problem()

    def loader(seed: int) -> Loader:
        own = torch.Generator().manual_seed(seed)
        return Loader(
            given.splits["retain"], 8, torch.device("cpu"), augment=noisy, augment_generator=own
        )

    x = next(iter(StackedLoader([loader(0), loader(1)]))).x
    assert x.shape == (2, 8, 2, 4, 4)
    assert (x[0] != x[1]).all()
    assert all(torch.equal(x[seed], next(iter(loader(seed))).x) for seed in range(2))


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_member_has_the_same_bits_whichever_others_are_missing(lanes: int) -> None:
    """What is left of a bank after a kill, on another number of threads too, ends as it would."""

    def states(seeds: list[int]) -> dict[int, dict[str, Tensor]]:
        found: dict[int, dict[str, Tensor]] = {}
        ensemble.fit_bank(
            lambda seed: (
                ReferenceTraining("mixed"),
                given.fresh_network(seed),
                given.view(("retain", "forget")),
            ),
            seeds,
            settings=CPU,
            members=7,
            finished=lambda seed, method, _: found.update({seed: method.net.state_dict()}),
        )
        return found

    given = problem(augment=(noisy,))
    undisturbed = states(list(range(7)))
    with threads(lanes):
        for left in ([6], [3, 1], [0, 2, 4, 5, 6]):
            for seed, state in states(left).items():
                for key, value in state.items():
                    assert torch.equal(undisturbed[seed][key], value), (left, seed, key)


def test_networks_that_draw_from_the_global_generator_are_not_stacked() -> None:
    given = problem(lambda: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(32, 3)).double())
    said = Told()
    logger = logging.getLogger(ensemble.__name__)
    logger.addHandler(said)
    logger.setLevel(logging.INFO)
    paid: list[Costs] = []
    ensemble.fit_bank(
        lambda seed: (finetune("sgd"), given.fresh_network(seed), given.view(("retain",))),
        SEEDS,
        settings=CPU,
        at_once=3,
        finished=lambda seed, method, costs: paid.append(costs),
    )
    logger.removeHandler(said)
    assert [costs.trained_at_once for costs in paid] == [1, 1, 1]
    assert "dropout" in said.said[0]


def test_members_with_data_of_their_own_keep_it() -> None:
    given = problem()
    splits = [given.splits["retain"].with_targets(torch.full((40,), k)) for k in range(2)]
    loaders = [Loader(split, 8, torch.device("cpu")) for split in splits]
    batches = list(StackedLoader(loaders))
    assert sum(batch.y.shape[1] for batch in batches) == 40
    assert all((batch.y == torch.tensor([[0], [1]])).all() for batch in batches)


@pytest.mark.parametrize("casting", [False, True])
def test_merged_channels_agree_with_the_stock_rules(casting: bool) -> None:
    nets = [network() for _ in range(3)]
    x = torch.randn(3, 7, 2, 4, 4, dtype=torch.float64)
    results = []
    for mode in (MergedChannels(casting), torch.enable_grad()):
        parameters, buffers = stack_module_state(nets)
        base = copy.deepcopy(nets[0])

        def output(p: Any, b: Any, x: Tensor, net: nn.Module = base) -> Tensor:
            return functional_call(net, (p, b), (x,)).square().mean()

        with mode:
            loss = vmap(output)(parameters, buffers, x)
        loss.sum().backward()
        gradients = {name: p.grad for name, p in parameters.items()}
        results.append({"loss": loss.detach(), **gradients, **buffers})
    torch.testing.assert_close(*results)


def test_a_bank_works_on_data_and_a_model_of_ones_own() -> None:
    """Members that read one problem through `problem_from`, as notebooks do."""
    net = network()
    data = torch.utils.data.TensorDataset(
        torch.randn(20, 2, 4, 4, dtype=torch.float64), torch.arange(20) % 3
    )
    given = problem_from(net, data, data)
    done = []
    ensemble.fit_bank(
        lambda seed: (finetune("sgd"), copy.deepcopy(net), given.view(("retain",))),
        SEEDS,
        settings=CPU,
        at_once=3,
        finished=lambda seed, *_: done.append(seed),
    )
    assert done == SEEDS
    assert isinstance(given.splits["retain"], Split)
