"""Handwritten digits that come with scikit-learn: real data without a download."""

import torch

from unlearn.data.holdout import check_fraction, check_seed
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset, network_input
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
        check_fraction(test_fraction)
        check_seed(seed)
        self.test_fraction, self.seed = test_fraction, seed
        self.transform = network_input(mean, std, size, channels=1)

    @property
    def task(self) -> Task:
        return Task("classification", 10, class_names=tuple("0123456789"))

    def load(self) -> dict[str, Table]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        data = load_digits()
        try:
            train, test = train_test_split(
                range(len(data.target)),
                test_size=self.test_fraction,
                random_state=self.seed,
                stratify=data.target,
            )
        except ValueError as error:
            raise UserError(
                f"dataset.test_fraction={self.test_fraction}: every class needs an image to train "
                f"on and one to test on ({error})"
            ) from None
        # Stored values run from 0 to 16; scale them to the 0..255 of the other datasets.
        images = (torch.from_numpy(data.images) * (255 / 16)).round().to(torch.uint8)[:, None]
        targets = torch.from_numpy(data.target).long()
        return {
            role: Table(images[rows], targets[rows], self.transform)
            for role, rows in (("train", sorted(train)), ("test", sorted(test)))
        }
