"""Pins face recognition: photographs of celebrities, one folder a person."""

from pathlib import Path

import torch

from unlearn.data.counts import say_what_was_read
from unlearn.data.decode import decode
from unlearn.data.holdout import check_fraction, check_seed, hold_out_of_each, record_split
from unlearn.data.listing import LeftOut, list_images, require_folder
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset, check_side, network_input
from unlearn.errors import UserError

SOURCE = "the data is on Kaggle as hereisburak/pins-face-recognition (unpack it)"
LAYOUT = "one folder a person (pins_<name>/) with images in it"


class Pins(Dataset):
    """About 17,500 faces of 105 people, who are the classes, in sorted order of their folders.

    The source has no test set. One is made here: the same share of every person's images, drawn
    with a seed, and recorded in `<cache>/splits/`.
    Source: Pins Face Recognition (Kaggle, user hereisburak); used by JiT (arXiv 2402.01401).

    Args:
        root: the folder of folders.
        cache: folder of decoded images.
        test_fraction: share of each person's images that are the test set.
        seed: of the split.
        side: side in pixels to resize the files to once.
        mean: per-channel mean for normalisation, in [0, 1] pixel units.
        std: per-channel standard deviation.
        size: side in pixels that the network gets, None = as stored.
    """

    def __init__(
        self,
        root: str,
        cache: str,
        test_fraction: float,
        seed: int,
        side: int,
        mean: list[float],
        std: list[float],
        size: int | None = None,
    ):
        self.root, self.cache, self.side = root, Path(cache), side
        self.test_fraction, self.seed = test_fraction, seed
        check_side("side", side)
        check_fraction(test_fraction)
        check_seed(seed)
        self.transform = network_input(mean, std, size, channels=3)
        self._people: list[str] = []

    @property
    def task(self) -> Task:
        return Task("classification", len(self._people), class_names=tuple(self._people))

    def load(self) -> dict[str, Table]:
        root = require_folder(self.root, "dataset.root", SOURCE, LAYOUT)
        found = list_images(root)
        files = [file for file in found.files if "/" in file.name]
        stray = [LeftOut(f.name, "outside a folder") for f in found.files if "/" not in f.name]
        folders = [str(Path(file.name).parent) for file in files]
        self._people = sorted(set(folders))
        if len(self._people) < 2:
            raise UserError(
                f"dataset.root={root}: images of {len(self._people)} people in it; expected "
                f"{LAYOUT}; {SOURCE}"
            )
        number = {name: i for i, name in enumerate(self._people)}
        targets = [number[name] for name in folders]
        is_test = hold_out_of_each(targets, self.test_fraction, self.seed)
        record_split(
            self.cache / "splits" / f"pins_test{self.test_fraction}_seed{self.seed}.csv",
            [file.name for file in files],
            is_test,
        )
        tables, read = {}, {}
        for role in ("train", "test"):
            rows = [i for i, test in enumerate(is_test) if test == (role == "test")]
            part = [files[i] for i in rows]
            pixels = decode(root, part, self.cache, side=self.side, label=f"{role} images")
            read[role] = pixels
            tables[role] = Table(
                pixels.images,
                torch.tensor([targets[i] for i in rows]),
                self.transform,
                names=tuple(file.name for file in part),
                content=pixels.content,
            )
        say_what_was_read(root, read, [*stray, *found.left_out])
        return tables
