"""Any tree of images with one folder a class."""

from pathlib import Path

import torch

from unlearn.data.counts import kinds_of, say_what_was_read
from unlearn.data.decode import Pixels, decode
from unlearn.data.image_reading import Transparency
from unlearn.data.listing import LeftOut, Listing, list_images, require_entry, require_folder
from unlearn.data.tables import Table
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset, check_side, network_input
from unlearn.errors import UserError

SOURCE = "any images of yours will do"
LAYOUT = "FOLDER/train/<class>/<images> and FOLDER/test/<class>/<images>"
ROLES = ("train", "test", "val", "unseen")


class ImageFolder(Dataset):
    """Classes are the folders under `train`, in sorted order.

    `val` and `unseen` folders of the same form are read where they exist.
    Source: your own images.

    Args:
        root: the folder that holds `train` and `test`.
        cache: folder of decoded images.
        side: side in pixels to resize the files to once; None = all have one size already.
        channels: 3 (RGB) or 1 (grey).
        transparency: lay transparent images on white, or refuse them.
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
        transparency: Transparency = "white",
        size: int | None = None,
    ):
        if channels not in (1, 3):
            raise UserError(f"dataset.channels must be 1 (grey) or 3 (RGB), got {channels}")
        check_side("side", side)
        self.root, self.cache = root, Path(cache)
        self.side, self.channels, self.transparency = side, channels, transparency
        if channels == 1 and len(mean) == len(std) == 3:  # the default, which is for colours
            mean, std = mean[:1], std[:1]
        self.transform = network_input(mean, std, size, channels)
        self._classes: list[str] = []

    @property
    def task(self) -> Task:
        return Task("classification", len(self._classes), class_names=tuple(self._classes))

    def load(self) -> dict[str, Table]:
        root = require_folder(self.root, "dataset.root", SOURCE, LAYOUT)
        for role in ("train", "test"):
            if not require_entry(root / role, "dataset.root", SOURCE, LAYOUT).is_dir():
                raise UserError(f"{root / role} is a file, not a folder; expected {LAYOUT}")
        roles = [role for role in ROLES if (root / role).is_dir()]
        found = {role: list_images(root / role) for role in roles}
        self._classes = sorted(
            p.name for p in (root / "train").iterdir() if p.is_dir() and p.name[0] != "."
        )
        if len(self._classes) < 2:
            raise UserError(
                f"{root / 'train'} has {len(self._classes)} class folders, at least 2 are needed; "
                f"expected {LAYOUT}"
            )
        left_out = [
            LeftOut(path.name, f"beside {' and '.join(roles)}")
            for path in sorted(root.iterdir())
            if path.name not in roles
        ]
        read, tables = {}, {}
        for role, listing in found.items():
            stray = [
                LeftOut(file.name, "outside a class folder")
                for file in listing.files
                if "/" not in file.name
            ]
            left_out += [
                LeftOut(f"{role}/{file.name}", file.why) for file in (*stray, *listing.left_out)
            ]
            read[role], tables[role] = self._role(root / role, listing)
        say_what_was_read(root, read, left_out)
        return tables

    def _role(self, folder: Path, listing: Listing) -> tuple[Pixels, Table]:
        number = {name: i for i, name in enumerate(self._classes)}
        files = [file for file in listing.files if "/" in file.name]
        targets = []
        for file in files:
            name = file.name.split("/", 1)[0]
            if name not in number:
                raise UserError(f"{folder / name}: no class of this name among the training images")
            targets.append(number[name])
        empty = sorted(set(range(len(number))) - set(targets)) if folder.name == "train" else []
        if empty or not files:
            name = f"{self._classes[empty[0]]}/" if empty else ""
            other = [file for file in listing.left_out if file.name.startswith(name)]
            only = f", only {kinds_of(other)}" if other else ""
            raise UserError(
                f"{folder / name}: no images in it that can be read{only}; expected {LAYOUT}"
            )
        pixels = decode(
            folder,
            files,
            self.cache,
            side=self.side,
            channels=self.channels,
            transparency=self.transparency,
            label=f"{folder.name} images",
        )
        return pixels, Table(
            pixels.images,
            torch.tensor(targets),
            self.transform,
            names=tuple(file.name for file in files),
            content=pixels.content,
        )
