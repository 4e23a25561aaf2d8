"""UNSIR: what it impairs and repairs on, and what it reads."""

from typing import Any

import torch
from support.problems import assert_needs_a_class, toy_problem

from unlearn.data.splits import Split
from unlearn.forget_sets.subclass import SubclassForget
from unlearn.forget_sets.whole_class import ClassForget
from unlearn.methods.unsir import UNSIR, first_of_each
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


def test_unsir_refuses_random_forget_sets() -> None:
    assert_needs_a_class(unsir())
