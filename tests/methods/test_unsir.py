"""UNSIR: what it impairs and repairs on, and what it reads."""

from typing import Any

import torch
from support.problems import CPU, assert_needs_a_class, toy_problem
from torch import nn

from unlearn.data.splits import Split
from unlearn.forget_sets.subclass import SubclassForget
from unlearn.forget_sets.whole_class import ClassForget
from unlearn.methods.parts.noise import learn_noise
from unlearn.methods.unsir import UNSIR, first_of_each
from unlearn.programs.building import build
from unlearn.programs.chosen import shipped_config
from unlearn.training.fit import fit
from unlearn.training.trainer import TrainerSettings


def unsir(**changes: Any) -> UNSIR:
    values: dict[str, Any] = {"noise_images": 8, "noise_steps": 25, "noise_lr": 0.1, "copies": 10}
    values |= {"penalty": 0.1, "images_per_class": 6, "lr": 0.02, "weight_decay": 0.0}
    values |= {"impair_batch_size": 8, "repair_batch_size": 16}
    return UNSIR(**{**values, **changes})


def test_first_of_each_keeps_the_first_and_clips() -> None:
    labels = torch.tensor([1, 0, 1, 1, 0, 2])
    split = Split.from_tensors(torch.zeros(6, 1), labels)
    assert first_of_each(split, labels, 2).index.tolist() == [0, 1, 2, 4, 5]


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


def test_unsir_trains_on_as_much_noise_as_the_study() -> None:
    """80 copies of three images; of the batch of 32 that it learns, its loader takes no more."""
    problem = toy_problem(ClassForget(2))
    for changes, items in (({}, 240), ({"noise_images": 32}, 2560)):
        values = {**shipped_config("method", "unsir"), "noise_steps": 1, **changes}
        method = build(values, "method", UNSIR)
        method.bind(problem.fresh_network(1), problem.view(method.requires), 0)
        method.start(CPU)
        assert len(method.noise) == items
        assert all(p.grad is None for p in method.net.parameters()), "nothing leaks into a step"


def test_noise_images_are_learned_apart_from_each_other(trained: nn.Module) -> None:
    """Three of 32 are what three alone are, so learning only those loses nothing."""
    how: dict[str, Any] = {"maximise": True, "steps": 25, "lr": 0.1, "penalty": 0.1}
    of_32, alone = (
        learn_noise(
            trained,
            torch.full((count,), 2),
            (3, 8, 8),
            per_class=count,
            generator=torch.Generator().manual_seed(0),
            **how,
        )
        for count in (32, 3)
    )
    torch.testing.assert_close(of_32[:3], alone, rtol=1e-3, atol=1e-3)


def test_unsir_refuses_random_forget_sets() -> None:
    assert_needs_a_class(unsir())
