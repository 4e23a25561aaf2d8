"""Other forget sets of the same rule and size, for control runs."""

from pathlib import Path

import pytest
import torch
from support.compose import compose_job, options

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.programs.building import build
from unlearn.programs.composing import problem_of

COUNT, CLASSES = 400, 10
TASK = Task("classification", 100)
# What rules that read a file or a count need on so small a table.
MORE = {"household": {"count": 40}, "first_rows": {"count": 30}, "random_1000": {"count": 50}}


@pytest.fixture(scope="module")
def train() -> Table:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (COUNT,), generator=generator)
    group = torch.arange(COUNT) // 4
    images = torch.zeros(COUNT, 1, 2, 2)
    return Table(images, labels, fine=torch.arange(COUNT) % 100, group=group)


def rule_of(name: str, folder: Path):
    values = dict(compose_job(f"forget={name}").values["forget"])
    values |= MORE.get(name, {})
    if "file" in values:
        values["file"] = str(folder / "file.txt")
        numbers = range(COUNT) if "take" in values else range(7, 60, 2)
        (folder / "file.txt").write_text("\n".join(map(str, numbers)))
    return build(values, "forget")


@pytest.mark.parametrize("name", options("forget"))
def test_a_control_set_is_another_of_the_same_size_or_refused(name, train, tmp_path):
    rule = rule_of(name, tmp_path)
    forgotten = rule.select(train, TASK)
    if rule.kind in ("class", "subclass"):
        with pytest.raises(UserError, match="control=true: a (fine )?class"):
            rule.control(train, forgotten, TASK, 0)
        return
    one, again, other = (rule.control(train, forgotten, TASK, seed) for seed in (3, 3, 4))
    for rows in (one, other):
        assert not torch.isin(rows, forgotten).any() and len(rows.unique()) == len(rows)
        assert int(rows.min()) >= 0 and int(rows.max()) < COUNT
        # Whole groups may not add up to the same number.
        assert len(rows) == len(forgotten) or (rule.kind == "group" and len(rows) > 0)
    assert torch.equal(one.sort().values, again.sort().values)
    assert not torch.equal(one.sort().values, other.sort().values)
    if rule.kind == "group":
        assert torch.isin(train.group, train.group[one]).sum() == len(one)


def test_listed_sets_keep_their_classes(train, tmp_path):
    rule = rule_of("indices", tmp_path)
    forgotten = rule.select(train, TASK)
    drawn = rule.control(train, forgotten, TASK, 0)
    counts = [train.targets[rows].bincount(minlength=CLASSES) for rows in (forgotten, drawn)]
    assert torch.equal(*counts)


def test_the_control_of_the_hardest_is_hard(train, tmp_path):
    rule = rule_of("hardest", tmp_path)  # scores are the row numbers
    drawn = rule.control(train, rule.select(train, TASK), TASK, 0)
    assert int(drawn.max()) < 3 * 40 and int(drawn.min()) >= 40


def test_too_little_left_is_one_clear_line(train, tmp_path):
    half = torch.arange(COUNT // 2)
    for name in ("random", "indices", "hardest"):
        with pytest.raises(UserError, match="control=true|forget"):
            rule_of(name, tmp_path).control(train, half, TASK, 0)


def test_the_problem_of_a_control_run_hides_the_forget_set(tmp_path):
    problem = problem_of(compose_job("logger=none", home=tmp_path))
    control = problem.control(5)
    own, other = set(problem.forget_rows.tolist()), set(control.forget_rows.tolist())
    kept = set(control.splits["retain"].index.tolist())
    assert len(other) == len(own) and not own & other
    assert not kept & (own | other) and len(kept) == len(problem.tables["train"]) - 2 * len(own)
    assert set(problem.splits["forget"].index.tolist()) == own
    assert problem.view(("forget",)).forget.is_forget.all()
