"""Any tree of images with one folder a class."""

from pathlib import Path

import torch

from unlearn.data.decode import decode
from unlearn.data.listing import list_images, require_entry, require_folder
from unlearn.data.tables import Table, normalisation
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset
from unlearn.errors import UserError

SOURCE = "any images of yours will do"
LAYOUT = "FOLDER/train/<class>/<images> and FOLDER/test/<class>/<images>"


class ImageFolder(Dataset):
    """Classes are the folders under `train`, in sorted order.

    `val` and `unseen` folders of the same form are read where they exist.
    Source: your own images.

    Args:
        root: the folder that holds `train` and `test`.
        cache: folder of decoded images.
        side: side in pixels to resize the files to once; None = all have one size already.
        channels: 3 (RGB) or 1 (grey).
        mean: per-channel mean for normalisation, in [0, 1] pixel units.
        std: per-channel standard deviation.
        size: side in pixels that the network gets, None = as stored.
    """

    def __init__(
        self,
        root: str | None,
        cache: str,
        mean: list[float],
        std: list[float],
        side: int | None = None,
        channels: int = 3,
        size: int | None = None,
    ):
        if channels not in (1, 3):
            raise UserError(f"dataset.channels must be 1 (grey) or 3 (RGB), got {channels}")
        self.root, self.cache = root, Path(cache)
        self.side, self.channels = side, channels
        self.transform = normalisation(mean[:channels], std[:channels], size)
        self._classes: list[str] = []

    @property
    def task(self) -> Task:
        return Task("classification", len(self._classes), class_names=tuple(self._classes))

    def load(self) -> dict[str, Table]:
        root = require_folder(self.root, "dataset.root", SOURCE, LAYOUT)
        for role in ("train", "test"):
            require_entry(root / role, "dataset.root", SOURCE, LAYOUT)
        self._classes = sorted(
            p.name for p in (root / "train").iterdir() if p.is_dir() and p.name[0] != "."
        )
        if len(self._classes) < 2:
            raise UserError(
                f"{root / 'train'} has {len(self._classes)} class folders, at least 2 are needed; "
                f"expected {LAYOUT}"
            )
        roles = [r for r in ("train", "test", "val", "unseen") if (root / r).is_dir()]
        return {role: self._role(root / role) for role in roles}

    def _role(self, folder: Path) -> Table:
        number = {name: i for i, name in enumerate(self._classes)}
        files = [file for file in list_images(folder) if "/" in file.name]
        targets = []
        for file in files:
            name = file.name.split("/", 1)[0]
            if name not in number:
                raise UserError(f"{folder / name}: no class of this name among the training images")
            targets.append(number[name])
        empty = sorted(set(range(len(number))) - set(targets)) if folder.name == "train" else []
        if empty or not files:
            name = self._classes[empty[0]] if empty else ""
            raise UserError(f"{folder / name}: no images in it; expected {LAYOUT}")
        pixels = decode(
            folder,
            files,
            self.cache,
            side=self.side,
            channels=self.channels,
            label=f"{folder.name} images",
        )
        return Table(
            pixels.images,
            torch.tensor(targets),
            self.transform,
            names=tuple(file.name for file in files),
            content=pixels.content,
        )
