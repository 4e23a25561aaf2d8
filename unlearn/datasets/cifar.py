"""CIFAR-10, CIFAR-100 and CIFAR-100 with its twenty superclasses."""

from pathlib import Path
from typing import Any, Literal

import torch
import torchvision

from unlearn.data.listing import ARCHIVE_SUFFIXES
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset, network_input
from unlearn.errors import UserError

# The fine classes of each superclass, five a row, as the archive's coarse labels have them.
SUPERCLASSES = """
4 30 55 72 95   1 32 67 73 91   54 62 70 82 92  9 10 16 28 61   0 51 53 57 83
22 39 40 86 87  5 20 25 84 94   6 7 14 18 24    3 42 43 88 97   12 17 37 68 76
23 33 49 60 71  15 19 21 31 38  34 63 64 66 75  26 45 77 79 99  2 11 35 46 98
27 29 44 78 93  36 50 65 74 80  47 52 56 59 96  8 13 48 58 90   41 69 81 85 89
"""
SUPERCLASS_NAMES = """
aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
household_furniture insects large_carnivores large_man-made_outdoor_things
large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals
non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
"""


def superclass_of() -> torch.Tensor:
    """`(100,)` superclass of every fine class."""
    fine = torch.tensor([int(number) for number in SUPERCLASSES.split()])
    table = torch.empty(100, dtype=torch.int64)
    table[fine] = torch.arange(100) // 5
    return table


class CIFAR(Dataset):
    """60,000 colour photographs of 32x32 pixels, 50,000 to train on; downloaded on first use.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.

    Args:
        variant: `cifar10`; `cifar100`; or `cifar20`, the superclasses of CIFAR-100, which keeps
            the 100 fine classes for `forget=subclass`.
        root: folder that holds, or will hold, the unpacked archive.
        mean: per-channel mean for normalisation, in [0, 1] pixel units.
        std: per-channel standard deviation.
        size: side in pixels that the network gets, None = 32.
    """

    def __init__(
        self,
        variant: Literal["cifar10", "cifar100", "cifar20"],
        root: str,
        mean: list[float],
        std: list[float],
        size: int | None = None,
    ):
        self.variant, self.root = variant, root
        self.transform = network_input(mean, std, size, channels=3)
        self._names: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        outputs = {"cifar10": 10, "cifar100": 100, "cifar20": 20}[self.variant]
        names = tuple(SUPERCLASS_NAMES.split()) if self.variant == "cifar20" else self._names
        return Task("classification", outputs, class_names=names)

    def load(self) -> dict[str, Table]:
        family: Any = (
            torchvision.datasets.CIFAR10
            if self.variant == "cifar10"
            else torchvision.datasets.CIFAR100
        )
        root = Path(self.root).expanduser()
        if root.is_file():
            kind = "an archive: unpack it" if root.suffix in ARCHIVE_SUFFIXES else "a file"
            raise UserError(f"dataset.root={root} is {kind} and give the folder")
        if root.name == family.base_folder:
            root = root.parent  # the unpacked folder itself was given
        return {"train": self._table(family, root, True), "test": self._table(family, root, False)}

    def _table(self, family: Any, root: Path, train: bool) -> Table:
        try:
            data = family(root, train=train)
        except RuntimeError:  # torchvision: not there, or not intact
            try:
                data = family(root, train=train, download=True)
            except Exception as error:
                raise UserError(
                    f"dataset={self.variant} is not in {root} and cannot be downloaded ({error}): "
                    f"put the unpacked {family.base_folder}/ of {family.url} into that folder and "
                    "give dataset.root, or use dataset=image_folder with a tree of images"
                ) from None
        self._names = tuple(data.classes)
        targets = torch.tensor(data.targets)
        fine = None
        if self.variant == "cifar20":
            targets, fine = superclass_of()[targets], targets
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return Table(images, targets, self.transform, fine=fine)
