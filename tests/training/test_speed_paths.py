"""Fast paths do the same arithmetic as the plain ones."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.compose import CONF
from torch import Tensor, nn

from unlearn.data.loaders import Loader
from unlearn.data.splits import Batch, Split
from unlearn.data.tables import Table, normalisation
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.random import RandomForget
from unlearn.methods.finetune import Finetune
from unlearn.problem import UnlearningProblem
from unlearn.programs.building import build
from unlearn.recipes.recipe import Recipe
from unlearn.training.bank import fit_bank
from unlearn.training.fit import fit
from unlearn.training.reference_training import ReferenceTraining
from unlearn.training.stacking.width import Effort, stack_width
from unlearn.training.trainer import TrainerSettings

CPU = TrainerSettings(accelerator="cpu")
DEVICE = torch.device("cpu")
TRAINERS = sorted((CONF / "trainer").glob("*.yaml"))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def problem(examples: int = 64, epochs: int = 2) -> UnlearningProblem:
    """Images whose class is their brightest quarter, so that there is something to learn."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (examples,), generator=generator)
    images = torch.randint(120, (examples, 3, 8, 8), generator=generator)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 130
    table = Table(images.to(torch.uint8), labels, normalisation([0.5] * 3, [0.25] * 3))
    return UnlearningProblem(
        tables={"train": table, "test": table},
        task=Task("classification", 4),
        forget=RandomForget(fraction=0.25),
        build_network=network,
        recipe=Recipe(
            epochs=epochs,
            batch_size=16,
            optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=1e-3),
        ),
        description={},
        content_id="",
        name="quarters",
    )


def trained(settings: TrainerSettings, epochs: int = 2) -> tuple[nn.Module, float]:
    """A reference model and its accuracy."""
    given = problem(epochs=epochs)
    method = ReferenceTraining("mixed")
    fit(method, given.fresh_network(0), given.view(("retain", "forget")), seed=0, settings=settings)
    batch = next(iter(given.loader(given.splits["test"], 64, device=DEVICE)))
    with torch.no_grad():
        accuracy = (method.net(batch.x).argmax(1) == batch.y).double().mean()
    return method.net, float(accuracy)


def test_the_loop_takes_the_steps_of_a_hand_written_one() -> None:
    given = problem()
    net = given.fresh_network(0).train()
    split = given.splits["retain"] + given.splits["forget"]
    table = given.tables["train"]
    x = ((table.images.float() / 255 - 0.5) / 0.25)[split.index]
    assert given.recipe is not None
    optimizer = given.recipe.optimizer(net.parameters())
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for rows in torch.randperm(len(split), generator=generator).split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), split.targets[rows]).backward()
            optimizer.step()
    ours, _ = trained(CPU)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_channels_last_changes_the_layout_and_not_the_result() -> None:
    plain, _ = trained(CPU)
    fast, _ = trained(TrainerSettings(accelerator="cpu", channels_last=True))
    weight = fast[0].weight  # type: ignore[index]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_bfloat16_computes_in_it_and_learns_as_well() -> None:
    seen = []

    class Watched(ReferenceTraining):
        def loss(self, batch: Batch) -> Tensor:
            seen.append(self.net(batch.x).dtype)
            return super().loss(batch)

    settings = TrainerSettings(accelerator="cpu", precision="bf16-mixed", channels_last=True)
    given = problem()
    view = given.view(("retain", "forget"))
    fit(Watched("mixed"), given.fresh_network(0), view, seed=0, settings=settings)
    assert set(seen) == {torch.bfloat16}
    net, accuracy = trained(settings, epochs=12)
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert accuracy >= trained(CPU, epochs=12)[1] - 0.05 > 0.8


def test_bfloat16_banks_compute_in_it_too() -> None:
    seen = []

    class Watched(ReferenceTraining):
        def loss(self, batch: Batch) -> Tensor:
            outputs = self.net(batch.x)
            seen.append(outputs.dtype)
            return self.task.criterion(outputs, batch.y)

    given = problem()
    fit_bank(
        lambda seed: (
            Watched("mixed"),
            given.fresh_network(seed),
            given.view(("retain", "forget")),
        ),
        [0, 1],
        settings=TrainerSettings(accelerator="cpu", precision="bf16-mixed"),
        at_once=2,
        finished=lambda *_: None,
    )
    assert set(seen) == {torch.bfloat16}


@pytest.mark.parametrize("resident", [True, False])
def test_kept_input_is_that_of_every_batch(resident: bool, monkeypatch: Any) -> None:
    given = problem()
    split = given.splits["forget"] + given.splits["retain"]
    split = Split(split.parts)
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(2))
    if not resident:
        monkeypatch.setattr("unlearn.data.loaders.INPUT_BYTES", 0)
    loader = Loader(split, 16, DEVICE)
    batch = loader.batch(order)
    table = given.tables["train"]
    assert torch.equal(batch.x, table.transform(table.images[split.index[order]]))
    assert torch.equal(batch.y, split.targets[order])
    assert torch.equal(batch.is_forget, split.is_forget[order])
    assert (loader._input is not None) == resident


def test_optimizers_take_one_kernel_unless_someone_chose() -> None:
    method, given = Finetune(lr=0.1, weight_decay=0, epochs=1, batch_size=8), problem()
    fit(method, given.fresh_network(0), given.view(("retain",)), seed=0, settings=CPU)
    assert method.optimizer_of(method.phase).param_groups[0]["fused"]
    (phase,) = method.phases()
    chosen = partial(torch.optim.SGD, lr=0.1, foreach=True)
    made = method.optimizer_of(type(phase)(**{**vars(phase), "optimizer": chosen}))
    assert not made.param_groups[0]["fused"]


def test_a_loss_that_is_not_finite_is_named_on_the_step_it_appears() -> None:
    class Fails(Finetune):
        def loss(self, batch: Batch) -> Tensor:
            return super().loss(batch) * (math.inf if self.steps_done == 2 else 1)

    given = problem()
    method = Fails(lr=0.1, weight_decay=0, epochs=1, batch_size=8)
    with pytest.raises(UserError, match="at step 3, in phase 'finetune'"):
        fit(method, given.fresh_network(0), given.view(("retain",)), seed=0, settings=CPU)


@pytest.mark.parametrize(
    ("operations", "needed", "expected"),
    [(3e7, 1e6, 5), (1e9, 1e6, 1), (3e7, 1e15, 1), (0, 1, 1)],
)
def test_work_and_memory_of_a_step_decide_the_width_of_stacks(
    operations: int, needed: float, expected: int
) -> None:
    """Small networks are stacked; large ones, those that do not fit, and no steps are not."""
    assert stack_width(Effort(1, int(operations), needed), DEVICE) == expected


def test_a_stack_takes_a_quarter_of_the_memory_at_most(monkeypatch: Any) -> None:
    monkeypatch.setattr("unlearn.training.stacking.width.device_memory", lambda _: 1.2e9)
    assert stack_width(Effort(1, 1000, 1e8), DEVICE) == 3


@pytest.mark.parametrize("file", TRAINERS, ids=[file.stem for file in TRAINERS])
def test_trainer_files_are_complete(file: Path) -> None:
    from omegaconf import OmegaConf

    settings = build(OmegaConf.load(file), "trainer")  # type: ignore[arg-type]
    assert isinstance(settings, TrainerSettings)
    if settings.accelerator == "gpu" and not torch.cuda.is_available():
        with pytest.raises(UserError, match="no CUDA device"):
            _ = settings.device
    else:
        assert settings.device.type in ("cpu", "cuda")


@pytest.mark.slow
def test_compiled_networks_learn_and_compile_once_for_a_bank() -> None:
    from torch._dynamo.utils import counters

    settings = TrainerSettings(accelerator="cpu", compile=True)
    try:
        torch.compile(torch.sin)(torch.ones(3))
    except Exception as error:
        pytest.skip(f"torch.compile does not work on this machine: {error}")
    given, graphs = problem(), []
    fit_bank(
        lambda seed: (
            ReferenceTraining("mixed"),
            given.fresh_network(seed),
            given.view(("retain", "forget")),
        ),
        [0, 1, 2],
        settings=settings,
        finished=lambda *_: graphs.append(counters["stats"]["unique_graphs"]),
    )
    assert graphs[0] > 0
    assert graphs[0] == graphs[2]
    plain, _ = trained(CPU)
    fast, _ = trained(settings)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[name], value, rtol=1e-3, atol=1e-4)
