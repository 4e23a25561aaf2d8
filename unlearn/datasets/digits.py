"""Handwritten digits that come with scikit-learn: real data without a download."""

import torch

from unlearn.data.tables import Table, normalisation
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset
from unlearn.errors import UserError


class Digits(Dataset):
    """1,797 grey 8x8 scans of handwritten digits in ten classes.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998;
    the copy that scikit-learn installs.

    Args:
        test_fraction: share of the images, stratified by class, that are the test set.
        seed: of the split into training and test images.
        mean: per-channel mean for normalisation, in [0, 1] pixel units.
        std: per-channel standard deviation.
        size: side in pixels that the network gets, None = as stored.
    """

    def __init__(
        self,
        test_fraction: float,
        seed: int,
        mean: list[float],
        std: list[float],
        size: int | None = None,
    ):
        if not 0 < test_fraction < 1:
            raise UserError(f"dataset.test_fraction must lie in (0, 1), got {test_fraction}")
        self.test_fraction, self.seed = test_fraction, seed
        self.transform = normalisation(mean, std, size)

    @property
    def task(self) -> Task:
        return Task("classification", 10, class_names=tuple("0123456789"))

    def load(self) -> dict[str, Table]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        data = load_digits()
        train, test = train_test_split(
            range(len(data.target)),
            test_size=self.test_fraction,
            random_state=self.seed,
            stratify=data.target,
        )
        # Stored values run from 0 to 16; scale them to the 0..255 of the other datasets.
        images = (torch.from_numpy(data.images) * (255 / 16)).round().to(torch.uint8)[:, None]
        targets = torch.from_numpy(data.target).long()
        return {
            role: Table(images[rows], targets[rows], self.transform)
            for role, rows in (("train", sorted(train)), ("test", sorted(test)))
        }
