"""Forget sets by a stored score of every training example: the hardest, or the easiest."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.errors import UserError
from unlearn.forget_sets.base import ForgetRule, check_amount, remaining, resolve_amount


class ScoreForget(ForgetRule):
    """The training examples with the highest or the lowest score.

    Args:
        file: one number a training example, in order: text (one a line), `.npy`, or `.npz` with
            one array.
        take: which end; with the confidence of held-out models as score, the `lowest` are the
            hardest examples.
        count: how many; give either this or `fraction`.
        fraction: share of the training set in (0, 1), rounded half up.
    """

    kind = "score"

    def __init__(
        self,
        file: str | None,
        take: Literal["lowest", "highest"],
        count: int | None = None,
        fraction: float | None = None,
    ):
        if file is None:
            raise UserError(
                "forget.file is missing: give forget.file=SCORES with one number a training example"
            )
        check_amount(count, fraction)
        self.file, self.take, self.count, self.fraction = file, take, count, fraction

    def select(self, train: Table, task: Task) -> Tensor:
        scores = read_scores(Path(self.file), len(train))
        count = resolve_amount(self.count, self.fraction, len(train))
        return scores.argsort(stable=True, descending=self.take == "highest")[:count]

    def control(self, train: Table, forgotten: Tensor, task: Task, seed: int) -> Tensor:
        """Half, drawn at random, of the examples that come next by score: twice as many as are
        forgotten, wherever there are so many."""
        assert self.file is not None
        scores = read_scores(Path(self.file), len(train))
        rest = remaining(train, forgotten)
        count = resolve_amount(len(forgotten), None, len(rest))
        order = scores[rest].argsort(stable=True, descending=self.take == "highest")
        near = rest[order[: min(2 * count, len(rest) - 1)]]
        drawn = torch.randperm(len(near), generator=torch.Generator().manual_seed(seed))
        return near[drawn[:count]]


def read_scores(path: Path, count: int) -> Tensor:
    """`(count,)` float64 scores.

    Raises:
        UserError: no such file, not numbers, not one a training example, or not finite.
    """
    if not path.is_file():
        raise UserError(f"forget.file: no such file {str(path)!r}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                if len(archive.files) != 1:
                    raise UserError(f"{path.name}: {len(archive.files)} arrays in it, not one")
                values = archive[archive.files[0]]
        elif path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            values = np.array([float(word) for word in path.read_text().split()])
        scores = torch.from_numpy(np.asarray(values, dtype=np.float64))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name}: cannot be read as numbers ({error})") from None
    if scores.shape != (count,):
        raise UserError(
            f"{path.name}: scores of shape {tuple(scores.shape)}, but there are {count} training "
            "examples; one number each is needed"
        )
    if not scores.isfinite().all():
        raise UserError(f"{path.name}: some scores are not finite numbers")
    return scores
