"""MUFAC: Korean family faces with an age class and a household."""

import hashlib
import logging
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from unlearn.data.counts import say_what_was_read
from unlearn.data.decode import Pixels, decode
from unlearn.data.listing import LeftOut, require_entry, require_folder
from unlearn.data.tables import Table, Transform
from unlearn.data.tabular import match_files, read_csv
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset, check_side
from unlearn.errors import UserError

log = logging.getLogger(__name__)

SOURCE = (
    "MUFAC comes from its benchmark's authors (github.com/ndb796/MachineUnlearning), as "
    "custom_korean_family_dataset_resolution_128.zip; dataset=mufac_synthetic needs no download"
)
LAYOUT = "the CSV files custom_{train,val,test}_dataset.csv beside {train,val,test}_images/"
# The archive's names are crossed: the benchmark tests on `val` and holds `test` back as unseen.
FILES = {"train": "train", "test": "val", "unseen": "test"}
AGES = ("0-6", "7-12", "13-19", "20-30", "31-45", "46-55", "56-66", "67-80")
HOUSEHOLD = re.compile(r"F(\d+)_")


class Mufac(Dataset):
    """13,068 face crops of 900 households, eight age classes; roles train, test and unseen.

    Source: D. Choi, D. Na, Towards Machine Unlearning Benchmarks, 2023 (arXiv 2311.02240).

    Args:
        root: the unpacked archive.
        cache: folder of decoded images.
        clean: leave out exact copies: test and unseen images that were trained on, unseen images
            that are tested on, and training images that another household has already.
        side: side in pixels to resize the files to once; None = as distributed, 128.
        size: side in pixels that the network gets, None = as stored.
    """

    def __init__(
        self,
        root: str,
        cache: str,
        clean: bool = True,
        side: int | None = None,
        size: int | None = None,
    ):
        check_side("side", side)
        check_side("size", size)
        self.root, self.cache, self.clean, self.side = root, Path(cache), clean, side
        self.transform = Transform(size=size)

    @property
    def task(self) -> Task:
        return Task("classification", len(AGES), class_names=AGES)

    def load(self) -> dict[str, Table]:
        root = require_folder(self.root, "dataset.root", SOURCE, LAYOUT)
        roles = {role: self._read(root, role) for role in FILES}
        say_what_was_read(
            root,
            {role: part.pixels for role, part in roles.items()},
            [file for part in roles.values() for file in part.left_out],
        )
        keep = kept(roles) if self.clean else {}
        tables = {}
        for role, part in roles.items():
            images, content = part.pixels.images, part.pixels.content
            rows = keep.get(role, np.arange(len(images)))
            if len(rows) < len(images):
                images = images[torch.from_numpy(rows)]
                content = hashlib.sha256(part.pixels.ids[rows].tobytes()).hexdigest()[:32]
            tables[role] = Table(
                images,
                torch.from_numpy(part.targets[rows]),
                self.transform,
                group=torch.from_numpy(part.household[rows]),
                names=tuple(part.names[row] for row in rows),
                content=content,
            )
        return tables

    def _read(self, root: Path, role: str) -> "_Role":
        stem = FILES[role]
        table = require_entry(root / f"custom_{stem}_dataset.csv", "dataset.root", SOURCE, LAYOUT)
        folder = require_entry(root / f"{stem}_images", "dataset.root", SOURCE, LAYOUT)
        rows = read_csv(table, ("image_path", "age_class"))
        targets, households = [], []
        for number, row in enumerate(rows, start=2):
            letter = row["age_class"].strip().lower()
            household = HOUSEHOLD.search(row["image_path"])
            if len(letter) != 1 or not "a" <= letter <= "h":
                raise UserError(f"{table}, line {number}: age class {letter!r} is not one of a..h")
            if household is None:
                raise UserError(
                    f"{table}, line {number}: {row['image_path']!r} names no household (F0001_...)"
                )
            targets.append(ord(letter) - ord("a"))
            households.append(int(household.group(1)))
        found = match_files([row["image_path"] for row in rows], folder, table)
        pixels = decode(folder, found.files, self.cache, side=self.side, label=f"{role} images")
        return _Role(
            pixels,
            np.array(targets),
            np.array(households),
            tuple(file.name for file in found.files),
            tuple(LeftOut(f"{folder.name}/{file.name}", file.why) for file in found.left_out),
        )


class _Role(NamedTuple):
    pixels: Pixels
    targets: np.ndarray
    household: np.ndarray
    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()


def kept(roles: dict[str, _Role]) -> dict[str, np.ndarray]:
    """Rows of each role that are no exact copy of an image seen in an earlier role.

    Inside one role a copy stays when it belongs to the same household: it is then forgotten or
    retained together with the first one.
    """
    owner: dict[bytes, tuple[str, int]] = {}
    rows: dict[str, np.ndarray] = {}
    for role, part in roles.items():
        keep = []
        for row, key in enumerate(part.pixels.ids.tolist()):
            mine = (role, int(part.household[row]))
            if owner.setdefault(key, mine) == mine:
                keep.append(row)
        dropped = len(part.pixels.ids) - len(keep)
        if dropped:
            log.warning("%d exact copies left out of the %s images (dataset.clean)", dropped, role)
        rows[role] = np.array(keep, dtype=np.int64)
    return rows
