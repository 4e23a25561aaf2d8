"""Augmentation while unlearning: which images it changes, and whose numbers hang on it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.compose import compose_job
from torch import Tensor, nn
from torch.optim import SGD

from unlearn.data.splits import Pair, Split
from unlearn.data.tables import Table, Transform
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.random import RandomForget
from unlearn.methods.base import Phase, UnlearningMethod
from unlearn.problem import UnlearningProblem
from unlearn.programs.plan import plan_unlearning
from unlearn.programs.unlearn import unlearn
from unlearn.recipes.recipe import Recipe
from unlearn.storage.records import read_record

CPU = torch.device("cpu")
OPTIMIZER = partial(SGD, lr=0.1)


def negative(images: Tensor, generator: torch.Generator) -> Tensor:
    """An augmentation that always shows."""
    return 1 - images


def problem(augment: Any = (negative,)) -> UnlearningProblem:
    table = Table(torch.rand(12, 1, 2, 2), torch.arange(12) % 2, Transform((0.5,), (0.25,)))
    return UnlearningProblem(
        tables={"train": table, "test": table},
        task=Task("classification", 2),
        forget=RandomForget(count=3),
        build_network=lambda: nn.Linear(1, 2),
        recipe=Recipe(epochs=1, batch_size=4, optimizer=OPTIMIZER, augment=augment),
        description={},
        content_id="",
        name="twelve",
    )


def method_on(given: UnlearningProblem, augment: bool) -> UnlearningMethod:
    method = UnlearningMethod()
    method.bind(given.fresh_network(0), given.view(("retain", "forget"), augment), 0)
    method.start(CPU)
    return method


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("data", ["retain", "forget", "mixed", "paired"])
def test_what_a_phase_trains_on_is_augmented_where_asked_for(data: str, augment: bool) -> None:
    given = problem()
    loader = method_on(given, augment).make_loader(Phase("some", data, 1, OPTIMIZER))
    pixels = given.tables["train"].images
    for batch in loader:
        for side in batch if isinstance(batch, Pair) else (batch,):
            stored = pixels[side.index]
            expected = (1 - stored if augment else stored) - 0.5
            torch.testing.assert_close(side.x, expected / 0.25)


def test_what_a_method_made_is_not_augmented_beside_images_that_are() -> None:
    given = problem()
    noise = Split.from_tensors(3 + torch.rand(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64))
    phase = Phase("impair", noise + given.splits["retain"], 1, OPTIMIZER, order="stored")
    [batch] = method_on(given, True).make_loader(phase)
    torch.testing.assert_close(batch.x[:5], noise.parts[0].table.images)
    stored = given.tables["train"].images[given.splits["retain"].index]
    torch.testing.assert_close(batch.x[5:], (0.5 - stored) / 0.25)


def test_measuring_passes_read_plain_images() -> None:
    """Importances and statistics are of the images, not of a phase."""
    given = problem()
    method = method_on(given, True)
    [batch] = method.data.loader(given.splits["forget"], 4, device=CPU)
    stored = given.tables["train"].images[batch.index]
    torch.testing.assert_close(batch.x, (stored - 0.5) / 0.25)


def test_a_phase_with_augmentation_of_its_own_keeps_it() -> None:
    given = problem()
    phase = Phase("some", "forget", 1, OPTIMIZER, augment=lambda images, _: 0 * images)
    [batch] = method_on(given, True).make_loader(phase)
    torch.testing.assert_close(batch.x, torch.full_like(batch.x, -2))


QUICK = ("dataset=mufac_synthetic", "method=finetune", "trainer=cpu", "logger=none", "seed=0")


def test_runs_with_and_without_it_are_two(home) -> None:
    plain, same, augmented = (
        plan_unlearning(compose_job(*QUICK, *more, home=home))
        for more in ((), ("augment=false",), ("augment=true",))
    )
    assert plain.runs[0].folder == same.runs[0].folder != augmented.runs[0].folder
    assert augmented.method.values["augment"] is True and "augment" not in plain.method.values
    assert augmented.method.augment and not plain.method.augment


def test_a_run_trains_on_augmented_images_where_asked_for(home) -> None:
    flip = "{_target_: unlearn.data.augment.HorizontalFlip, probability: 1.0}"
    words = ("method=finetune", "trainer=cpu", "logger=none", "eval=accuracy", "table=false")
    small = ("recipe.epochs=1", f"recipe.augment=[{flip}]", "references.retrained=1")
    states = []
    for more in ("augment=false", "augment=true"):
        [folder] = unlearn(compose_job(*words, *small, more, home=home))["folders"]
        record = read_record(Path(folder))
        assert record is not None
        states.append(record.state())
    plain, augmented = states
    assert any(not torch.equal(plain[key], augmented[key]) for key in plain)


def test_a_recipe_without_augmentation_is_named(home) -> None:
    job = compose_job(*QUICK, "recipe=digits", "augment=true", home=home)
    with pytest.raises(UserError, match=r"augment=true.*recipe"):
        plan_unlearning(job)


def test_the_mufac_benchmark_augments_and_others_do_not() -> None:
    for words, augments in (
        (("experiment=mufac_benchmark", "method=scrub"), True),
        (("experiment=mufac_benchmark", "method=scrub", "~tuned"), False),
        (("experiment=mufac_gisa", "method=scrub"), False),
    ):
        assert compose_job(*words).values["augment"] is augments


def test_another_version_of_a_method_is_another_run(home, monkeypatch) -> None:
    """Its numbers changed and its values did not: older runs must not be taken for it."""

    def folder() -> Any:
        return plan_unlearning(compose_job(*QUICK, home=home)).runs[0].folder

    first = folder()
    monkeypatch.setattr("unlearn.methods.finetune.Finetune.version", 2)
    assert folder() != first
    monkeypatch.setattr("unlearn.methods.finetune.Finetune.version", 1)
    assert folder() == first
