"""Forget rules: which rows they choose, and what they refuse."""

import numpy as np
import pytest
import torch

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.datasets.cifar import superclass_of
from unlearn.errors import UserError
from unlearn.forget_sets.first_rows import FirstRowsForget
from unlearn.forget_sets.group import GroupForget
from unlearn.forget_sets.indices import IndicesForget
from unlearn.forget_sets.random import RandomForget
from unlearn.forget_sets.score import ScoreForget
from unlearn.forget_sets.subclass import SubclassForget
from unlearn.forget_sets.whole_class import ClassForget

TEN = Task("classification", 10)
YEARS = Task("regression", 1, "l1")


def table(targets, **columns) -> Table:
    targets = torch.as_tensor(targets)
    return Table(torch.zeros(len(targets), 1, 1, 1, dtype=torch.uint8), targets, **columns)


def balanced(classes: int, each: int) -> torch.Tensor:
    return torch.arange(classes * each) % classes


# Sizes that the studies publish, on data of the real size.


def test_fraction_of_jit_is_83_of_50000():
    rows = RandomForget(fraction=0.00165).select(table(balanced(10, 5000)), TEN)
    assert len(rows) == len(rows.unique()) == 83


def test_a_class_of_cifar100_is_500_and_100_images():
    task, rule = Task("classification", 100), ClassForget(69)
    assert len(rule.select(table(balanced(100, 500)), task)) == 500
    assert len(rule.select_test(table(balanced(100, 100)), task)) == 100


def test_a_superclass_is_2500_images_and_a_subclass_of_it_500():
    fine = balanced(100, 500)
    train = table(superclass_of()[fine], fine=fine)
    task = Task("classification", 20)
    whole, part = ClassForget(19), SubclassForget(69)
    assert len(whole.select(train, task)) == 2500
    rows = part.select(train, task)
    assert len(rows) == 500 and set(train.targets[rows].tolist()) == {19}
    assert set(rows.tolist()) < set(whole.select(train, task).tolist())
    assert whole.forget_classes() == (19,) and part.forget_classes() == ()


def test_first_rows_of_the_mufac_benchmark():
    rows = FirstRowsForget(1500).select(table(balanced(8, 1254)[:10025]), Task("classification", 8))
    assert rows.tolist() == list(range(1500))


def test_households_of_mufac_stay_whole_up_to_200_images():
    # 299 households of 33 or 34 images, as in the benchmark's 10,025.
    household = (torch.arange(10025) * 299) // 10025
    train = table(torch.zeros(10025, dtype=torch.int64), group=household)
    chosen = {}
    for seed in range(5):
        rows = GroupForget(count=200, seed=seed).select(train, TEN)
        assert 200 - 34 < len(rows) <= 200
        mask = torch.zeros(10025, dtype=torch.bool)
        mask[rows] = True
        assert not set(household[mask].tolist()) & set(household[~mask].tolist())
        chosen[seed] = rows
    assert torch.equal(chosen[0], GroupForget(count=200, seed=0).select(train, TEN))
    assert not torch.equal(chosen[0], chosen[1])


def test_groups_that_do_not_fit_are_passed_over():
    group = torch.tensor([0] * 50 + [1] * 3 + [2] * 4 + [3] * 43)
    for seed in range(10):
        rows = GroupForget(fraction=0.08, seed=seed).select(table(group * 0, group=group), YEARS)
        assert set(group[rows].tolist()) == {1, 2}


# Random draws.


def test_random_draws_are_seeded_and_uniform():
    train = table(balanced(10, 100))
    draws = [RandomForget(count=100, seed=seed).select(train, TEN) for seed in range(200)]
    assert torch.equal(draws[0], RandomForget(count=100, seed=0).select(train, TEN))
    times = torch.cat(draws).bincount(minlength=1000).float()
    # Every row: 200 draws with probability 0.1.
    assert abs(times.mean() - 20) < 1e-6 and 3.2 < times.std() < 5.2


# Scores.


@pytest.mark.parametrize("suffix", ["txt", "npy", "npz"])
def test_scores_choose_the_hardest_and_the_easiest(tmp_path, suffix):
    scores = np.random.default_rng(0).normal(size=50)
    path = tmp_path / f"scores.{suffix}"
    if suffix == "txt":
        path.write_text("\n".join(map(repr, scores.tolist())))
    elif suffix == "npy":
        np.save(path, scores)
    else:
        np.savez(path, confidence=scores)
    train = table(balanced(10, 5))
    hardest = ScoreForget(str(path), "lowest", fraction=0.1).select(train, TEN)
    easiest = ScoreForget(str(path), "highest", count=7).select(train, TEN)
    assert sorted(hardest.tolist()) == sorted(np.argsort(scores)[:5].tolist())
    assert sorted(easiest.tolist()) == sorted(np.argsort(scores)[-7:].tolist())


@pytest.mark.parametrize(
    ("text", "message"),
    [("1 2 3", "one number each is needed"), ("a b", "cannot be read"), ("nan " * 50, "finite")],
)
def test_bad_score_files(tmp_path, text, message):
    path = tmp_path / "scores.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        ScoreForget(str(path), "lowest", count=3).select(table(balanced(10, 5)), TEN)


def test_a_pickled_score_file_is_not_loaded(tmp_path):
    np.save(tmp_path / "scores.npy", np.array([object()] * 50), allow_pickle=True)
    with pytest.raises(UserError, match="cannot be read"):
        ScoreForget(str(tmp_path / "scores.npy"), "lowest", count=3).select(
            table(balanced(10, 5)), TEN
        )


# Refusals: one line that says what, where, and how to mend.


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: RandomForget(fraction=0.0), "strictly between 0 and 1, got 0.0"),
        (lambda: RandomForget(fraction=1), "strictly between 0 and 1"),
        (lambda: RandomForget(count=0), "at least 1"),
        (lambda: RandomForget(), "exactly one of"),
        (lambda: RandomForget(count=1, fraction=0.5), "exactly one of"),
        (lambda: RandomForget(count=50).select(table(balanced(10, 5)), TEN), "50 of 50"),
        (lambda: RandomForget(fraction=1e-4).select(table(balanced(10, 5)), TEN), "0 of 50"),
        (lambda: ClassForget(10).select(table(balanced(10, 5)), TEN), "class 10 does not exist"),
        (lambda: ClassForget(-1).select(table(balanced(10, 5)), TEN), "class -1 does not exist"),
        (lambda: ClassForget(1).select(table([1.0, 2.0]), YEARS), "classification dataset"),
        (lambda: SubclassForget(1).select(table([1, 2]), TEN), "cifar20"),
        (
            lambda: SubclassForget(7).select(table([1, 2], fine=torch.tensor([1, 2])), TEN),
            r"fine class 7 does not exist, the dataset has fine classes 1\.\.2",
        ),
        (lambda: GroupForget(count=1).select(table([1, 2]), TEN), "no households or identities"),
        (
            lambda: GroupForget(count=1).select(table([1] * 6, group=torch.arange(6) // 2), TEN),
            "the smallest household or identity has 2",
        ),
        (lambda: FirstRowsForget(2).select(table([1, 2]), TEN), "between 1 and 1"),
        (lambda: IndicesForget(None), "forget.file is missing"),
        (lambda: ScoreForget(None, "lowest", count=1), "forget.file is missing"),
        (lambda: ScoreForget("nowhere", "lowest", count=1).select(table([1, 2]), TEN), "no such"),
    ],
)
def test_refusals(rule, message):
    with pytest.raises(UserError, match=message) as caught:
        rule()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no row numbers"),
        ("3\n50\n", "line 2: row 50 is out of range, the training set has rows 0..49"),
        ("-1\n", "out of range"),
        ("3\n4\n3\n", "row 3 is listed more than once"),
        ("3\nx\n", "line 2: 'x' is not a row number"),
    ],
)
def test_index_files(tmp_path, text, message):
    path = tmp_path / "rows.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        IndicesForget(str(path)).select(table(balanced(10, 5)), TEN)
    path.write_text("7\n\n3\n")
    assert IndicesForget(str(path)).select(table(balanced(10, 5)), TEN).tolist() == [7, 3]
