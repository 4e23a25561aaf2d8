"""Splits are disjoint, cover the data, are deterministic; the digest depends on content alone."""

import pytest
import torch
from support.compose import compose_job

from unlearn.data.loaders import Loader, PairedLoader
from unlearn.data.splits import Split
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.random import RandomForget
from unlearn.forget_sets.whole_class import ClassForget
from unlearn.problem import UnlearningProblem
from unlearn.programs.composing import problem_of


def tiny(forget, n=20, classes=4):
    images = torch.arange(n).float()[:, None, None, None].expand(n, 1, 2, 2).contiguous()
    tables = {
        "train": Table(images, torch.arange(n) % classes),
        "test": Table(images[:8], torch.arange(8) % classes),
    }
    return UnlearningProblem(
        tables=tables,
        task=Task("classification", classes),
        forget=forget,
        build_network=lambda: torch.nn.Linear(4, classes),
        recipe=None,
        description={"model": "linear"},
        content_id="content",
        name="tiny",
    )


@pytest.mark.parametrize("forget", [RandomForget(count=7, seed=1), ClassForget([1, 3])])
def test_splits_are_disjoint_sorted_and_cover(forget):
    problem = tiny(forget)
    retain, gone = problem.splits["retain"].index, problem.splits["forget"].index
    assert sorted([*retain.tolist(), *gone.tolist()]) == list(range(20))
    assert gone.tolist() == sorted(gone.tolist())
    assert problem.splits["forget"].is_forget.all() and not problem.splits["retain"].is_forget.any()
    assert tiny(forget).digest == problem.digest


def test_class_forgetting_splits_the_test_set_too():
    problem = tiny(ClassForget(2))
    assert set(problem.splits["forget_test"].targets.tolist()) == {2}
    assert 2 not in problem.splits["retain_test"].targets.tolist()
    together = len(problem.splits["forget_test"]) + len(problem.splits["retain_test"])
    assert together == len(problem.splits["test"])


def test_digest_knows_the_forget_set_and_ignores_device_paths_and_logging(home, tmp_path):
    one = problem_of(compose_job("trainer=cpu", "logger=none", home=home))
    same = problem_of(compose_job("trainer=auto", "logger=csv", home=tmp_path))
    assert one.digest == same.digest
    other = problem_of(compose_job("forget.seed=1", home=home))
    longer = problem_of(compose_job("recipe.epochs=13", home=home))
    assert len({one.digest, other.digest, longer.digest}) == 3


def test_taking_and_relabelling_keep_ids():
    problem = tiny(RandomForget(count=5))
    part = problem.splits["retain"].take([0, 2, 4])
    changed = part.with_targets(torch.tensor([9, 9, 9]))
    assert changed.index.tolist() == part.index.tolist()
    assert changed.targets.tolist() == [9, 9, 9]
    assert part.targets.tolist() != [9, 9, 9]


def test_loader_delivers_each_example_once_with_its_own_target_across_tables():
    noise = Split.from_tensors(torch.full((3, 1, 2, 2), -1.0), torch.tensor([7, 8, 9]))
    both = tiny(RandomForget(count=5)).splits["retain"] + noise
    loader = Loader(both, 4, torch.device("cpu"), generator=torch.Generator().manual_seed(0))
    seen = [(float(x[0, 0, 0]), int(y)) for b in loader for x, y in zip(b.x, b.y, strict=True)]
    assert len(seen) == len(both) == 18
    real = [(x, y) for x, y in seen if x >= 0]
    assert sorted(y for x, y in seen if x < 0) == [7, 8, 9]
    assert all(int(x) % 4 == y for x, y in real) and len(set(real)) == 15


def test_paired_batches_cycle_the_shorter_side():
    problem = tiny(RandomForget(count=4))
    device = torch.device("cpu")
    pairs = list(
        PairedLoader(
            Loader(problem.splits["retain"], 4, device), Loader(problem.splits["forget"], 4, device)
        )
    )
    assert len(pairs) == 4
    assert all(pair.forget.is_forget.all() for pair in pairs)
    assert sorted(i for p in pairs for i in p.retain.index.tolist()) == sorted(
        problem.splits["retain"].index.tolist()
    )


@pytest.mark.parametrize(
    "make", [lambda: RandomForget(count=20), lambda: ClassForget([0, 1, 2, 3])]
)
def test_an_empty_retain_set_is_refused(make):
    with pytest.raises(UserError, match="forget"):
        tiny(make())
