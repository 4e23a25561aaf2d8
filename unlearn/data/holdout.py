"""Honest test sets for data that is distributed without one."""

import csv
from collections.abc import Sequence
from pathlib import Path

import torch

from unlearn.errors import UserError
from unlearn.files import folders


def check_fraction(test_fraction: float) -> None:
    """Refuse a share outside (0, 1)."""
    if not 0 < test_fraction < 1:
        raise UserError(f"dataset.test_fraction must lie in (0, 1), got {test_fraction}")


def check_seed(seed: int) -> None:
    """Refuse what not every generator takes."""
    if not 0 <= seed < 2**32:
        raise UserError(f"dataset.seed must lie in 0..{2**32 - 1}, got {seed}")


def hold_out_groups(groups: Sequence[int], test_fraction: float, seed: int) -> list[bool]:
    """Mark whole groups (identities) as test, in seeded order, until the share is reached.

    Args:
        groups: group id of every example.
        test_fraction: share of the examples, in (0, 1).
        seed: of the order.
    """
    check_fraction(test_fraction)
    check_seed(seed)
    ids, sizes = torch.tensor(groups).unique(return_counts=True)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    before = sizes[order].cumsum(0) - sizes[order]
    test = set(ids[order[before < test_fraction * len(groups)]].tolist())
    if len(test) == len(ids):
        raise UserError(
            f"dataset.test_fraction={test_fraction} leaves no identity to train on: there are "
            f"{len(ids)}"
        )
    return [group in test for group in groups]


def hold_out_of_each(groups: Sequence[int], test_fraction: float, seed: int) -> list[bool]:
    """Mark the same share of every group (class) as test, at least one of each, at random.

    Args:
        groups: group id of every example; groups of one stay in training.
        test_fraction: share of each group, in (0, 1), rounded half up.
        seed: of the draw.
    """
    check_fraction(test_fraction)
    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    column = torch.tensor(groups)
    marked = torch.zeros(len(column), dtype=torch.bool)
    for group in column.unique():
        rows = (column == group).nonzero().squeeze(1)
        count = min(len(rows) - 1, max(1, int(test_fraction * len(rows) + 0.5)))
        marked[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return marked.tolist()


def record_split(path: Path, names: Sequence[str], is_test: Sequence[bool]) -> None:
    """Write which file went where, as CSV with the columns `role` and `file`.

    Raises:
        UserError: the folder cannot be written.
    """
    folders.clean(path.parent)
    aside = folders.aside_of(path, "writing")
    rows = [("test" if test else "train", n) for n, test in zip(names, is_test, strict=True)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file).writerows([("role", "file"), *rows])
        aside.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {path} ({error.strerror}): choose another folder with paths.data"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
