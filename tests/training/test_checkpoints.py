"""Trainings that are cut off and go on end at the bits of those that were left alone."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback
from support.compose import compose_job, options
from support.given import given_values
from torch import Tensor, nn

from unlearn.data.augment import RandomCrop
from unlearn.errors import UserError
from unlearn.methods.base import UnlearningMethod
from unlearn.problem import UnlearningProblem
from unlearn.programs.building import build
from unlearn.programs.composing import problem_of
from unlearn.recipes.recipe import Augmentations
from unlearn.storage.checkpoints import CheckpointFolder
from unlearn.training.bank import fit_bank
from unlearn.training.checkpoints import Kept, NotKept, pack, unpack
from unlearn.training.fit import Aside, Costs, fit
from unlearn.training.reference_training import ReferenceTraining
from unlearn.training.trainer import TrainerSettings

CPU = TrainerSettings(accelerator="cpu")
# Long methods are cut short, by the names that their lengths have.
SHORT = {
    "epochs": 2, "twin_epochs": 1, "retain_twin_epochs": 1, "teacher_epochs": 1,
    "poison_epochs": 1, "maximise_epochs": 1, "cycles": 3, "rounds": 2, "forget_steps": 3,
    "retain_steps": 3, "noise_steps": 3, "draws": 1, "copies": 5, "flatten_epochs": 1,
}  # fmt: skip


class Cut(Exception):
    """The training was killed."""


class Kill(Callback):
    """Ends a training after so many steps of this start."""

    def __init__(self, steps: int):
        self.left = steps

    def on_train_batch_end(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cut


class InMemory:
    """Keeps the last checkpoint as bytes would: JSON, and tensors of its own."""

    minutes = 0.0

    def __init__(self) -> None:
        self.kept: tuple[dict[str, Tensor], str] | None = None
        self.saved = 0

    def load(self) -> Kept | None:
        if self.kept is None:
            return None
        return {name: t.clone() for name, t in self.kept[0].items()}, json.loads(self.kept[1])

    def save(self, kept: Kept) -> None:
        self.saved += 1
        # Files have one order of memory, whatever the tensors' own.
        tensors = {name: t.detach().clone().contiguous() for name, t in kept[0].items()}
        self.kept = tensors, json.dumps(kept[1])

    def remove(self) -> None:
        self.kept = None


def problem_for(name: str, home: Path) -> tuple[dict[str, Any], UnlearningProblem]:
    """Values of a method, cut short, and a problem that it supports."""
    for forget in ("random_10_percent", "class", "subclass"):
        words = (f"method={name}", f"forget={forget}", *given_values("method", name, home))
        job = compose_job(*words, "recipe.epochs=1", "trainer=cpu", home=home)
        values = dict(job.values["method"])
        values |= {key: value for key, value in SHORT.items() if key in values}
        method, problem = build(values, "method", UnlearningMethod), problem_of(job)
        try:
            method.check_supports(problem.view(method.requires))
            return values, problem
        except UserError:
            continue
    raise AssertionError(f"{name} supports no forget set")


def run(
    values: dict[str, Any], problem: UnlearningProblem, start: nn.Module, place: Any, *kill: Kill
) -> tuple[dict[str, Tensor], Costs]:
    method = build(values, "method", UnlearningMethod)
    view = problem.view(method.requires)
    net = copy.deepcopy(start)
    costs = fit(method, net, view, seed=3, settings=CPU, callbacks=list(kill), place=place)
    return dict(method.net.state_dict()), costs


@pytest.mark.parametrize("name", options("method"))
def test_every_method_goes_on_to_the_same_bits(name: str, home: Path) -> None:
    values, problem = problem_for(name, home)
    start = problem.fresh_network(0)
    alone, costs = run(values, problem, start, None)
    if not costs.steps:
        return
    for first in sorted({1, costs.steps // 3, costs.steps // 2, costs.steps - 1} - {0}):
        place = InMemory()
        with pytest.raises(Cut):
            run(values, problem, start, place, Kill(first))
        torch.manual_seed(999)  # another process
        # Killed again while it goes on, where there is room for that.
        if costs.steps - first > 3:
            with pytest.raises(Cut):
                run(values, problem, start, place, Kill(2))
        again, paid = run(values, problem, start, place)
        for key, value in alone.items():
            assert torch.equal(again[key], value), (first, key)
        assert paid.steps == costs.steps and paid.examples_read == costs.examples_read
        assert paid.operations == costs.operations


def bank_problem() -> UnlearningProblem:
    problem = problem_of(compose_job("model.width=4", "recipe.epochs=2", "trainer=cpu"))
    problem.recipe.augment = Augmentations((RandomCrop(1),))  # type: ignore[union-attr]
    return problem


def test_a_stack_goes_on_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = bank_problem()
    places: dict[Any, InMemory] = {}

    def states() -> dict[int, dict[str, Tensor]]:
        found: dict[int, dict[str, Tensor]] = {}
        fit_bank(
            lambda seed: (
                ReferenceTraining("mixed"),
                problem.fresh_network(seed),
                problem.view(("retain", "forget")),
            ),
            [0, 1, 2],
            settings=CPU,
            finished=lambda seed, method, costs: found.update(
                {seed: {**method.net.state_dict(), "read": torch.tensor(costs.examples_read)}}
            ),
            places=lambda stack: places.setdefault(tuple(stack), InMemory()),
        )
        return found

    alone = states()
    [place] = places.values()
    assert place.saved == 46 and place.kept is None  # 2 epochs of 23 steps; removed at the end
    for at in (1, 20, 23, 24, 45):
        save, place.saved = InMemory.save, 0

        def cut(self: InMemory, kept: Kept, at: int = at, save: Any = save) -> None:
            save(self, kept)
            if self.saved == at + 1:  # the first one is kept before the first step
                raise Cut

        monkeypatch.setattr(InMemory, "save", cut)
        with pytest.raises(Cut):
            states()
        monkeypatch.setattr(InMemory, "save", save)
        torch.manual_seed(999)
        for seed, state in states().items():
            for key, value in state.items():
                assert torch.equal(value, alone[seed][key]), (at, seed, key)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_files_keep_the_order_of_memory(precision: Any, tmp_path: Path) -> None:
    """Fused optimizers read parameters and state side by side, as they lie there."""
    settings = TrainerSettings(accelerator="cpu", channels_last=True, precision=precision)
    problem = bank_problem()

    def train(place: Any, *kill: Kill) -> dict[str, Tensor]:
        method = ReferenceTraining("mixed")
        view, net = problem.view(("retain", "forget")), problem.fresh_network(1)
        fit(method, net, view, seed=1, settings=settings, callbacks=list(kill), place=place)
        return dict(method.net.state_dict())

    alone = train(None)
    with pytest.raises(Cut):
        train(CheckpointFolder(tmp_path, {}, settings.device, 0.0), Kill(20))
    again = CheckpointFolder(tmp_path, {}, settings.device, 0.0)
    assert again.load() is not None
    for key, value in train(again).items():
        assert torch.equal(value, alone[key]), key


class Remembering(ReferenceTraining):
    """Has state that no checkpoint holds."""

    def __init__(self) -> None:
        super().__init__("mixed")
        self.history = {"loss": torch.zeros(())}

    def loss(self, batch: Any) -> Tensor:
        loss = super().loss(batch)
        self.history["loss"] = 0.9 * self.history["loss"] + loss.detach()
        return loss + 0.1 * self.history["loss"]


def test_state_that_is_not_held_is_not_kept_wrongly(caplog: pytest.LogCaptureFixture) -> None:
    problem, place = bank_problem(), InMemory()
    view, net = problem.view(("retain", "forget")), problem.fresh_network(1)
    fit(Remembering(), net, view, seed=1, settings=CPU, place=place)
    assert place.saved == 1, "the one before anything had changed"
    assert "Remembering.history changes in training" in caplog.text


class Watching(Aside):
    """Says that every epoch was watched for a thousand seconds."""

    def on_train_epoch_end(self, *_: Any) -> None:
        self.seconds += 1000.0


def test_watching_is_no_cost_of_any_start() -> None:
    problem, place = bank_problem(), InMemory()

    def seconds(*kill: Kill) -> float:
        view, net = problem.view(("retain", "forget")), problem.fresh_network(1)
        watching, made = [Watching(), *kill], ReferenceTraining("mixed")
        return fit(made, net, view, seed=1, settings=CPU, callbacks=watching, place=place).seconds

    with pytest.raises(Cut):
        seconds(Kill(30))  # in the second of two epochs
    assert -2000 < seconds() < -1500


def test_short_trainings_keep_nothing_and_no_pickle_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problem = bank_problem()

    def train(minutes: float, description: Any, *kill: Kill) -> UnlearningMethod:
        method = ReferenceTraining("mixed")
        view, net = problem.view(("retain", "forget")), problem.fresh_network(1)
        place = CheckpointFolder(tmp_path, description, CPU.device, minutes)
        fit(method, net, view, seed=1, settings=CPU, callbacks=list(kill), place=place)
        return method

    with pytest.raises(Cut):
        train(5.0, {"recipe": 1}, Kill(5))
    assert not list(tmp_path.glob(".checkpoints/*"))
    with pytest.raises(Cut):
        train(0.0, {"recipe": 1}, Kill(5))
    files = [path.name for path in tmp_path.glob(".checkpoints/*/*/*")]
    assert sorted(files) == ["checksums.json", "state.json", "state.safetensors"]
    # Another recipe does not find it; damage makes it begin anew.
    other = CheckpointFolder(tmp_path, {"recipe": 2}, CPU.device, 0.0)
    assert other.load() is None
    mine = CheckpointFolder(tmp_path, {"recipe": 1}, CPU.device, 0.0)
    assert mine.load() is not None
    [file] = tmp_path.glob(".checkpoints/*/*/state.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    assert mine.load() is None and "a damaged checkpoint is left out" in caplog.text
    train(0.0, {"recipe": 1})
    mine.remove()
    assert mine.load() is None and not list(tmp_path.glob(".checkpoints/*"))


def test_states_survive_as_tensors_and_json() -> None:
    state = {"a": [1, 2.5, None, (True, "x")], 3: {"t": torch.arange(3)}, "f": float("inf")}
    tensors, document = pack(state)
    back = unpack((tensors, json.loads(json.dumps(document))))
    assert torch.equal(back[3].pop("t"), torch.arange(3))
    assert back == {"a": [1, 2.5, None, (True, "x")], 3: {}, "f": float("inf")}
    with pytest.raises(NotKept, match="object"):
        pack({"a": object()})
