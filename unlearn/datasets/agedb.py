"""AgeDB: faces with the age in years and the identity, as regression or as ten classes."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from unlearn.data.counts import say_what_was_read
from unlearn.data.decode import decode
from unlearn.data.holdout import check_fraction, check_seed, hold_out_groups
from unlearn.data.listing import ImageFile, LeftOut, list_images, require_entry, require_folder
from unlearn.data.tables import Table
from unlearn.data.tabular import match_files, read_csv
from unlearn.data.task import Task
from unlearn.datasets.base import Dataset, check_side, network_input
from unlearn.errors import UserError

SOURCE = "AgeDB is given out on request by Imperial College London (ibug.doc.ic.ac.uk)"
LAYOUT = "files named <index>_<name>_<age>_<gender>.jpg, or images with a CSV file (dataset.csv)"
NAME = re.compile(r"^\d+_(?P<person>.+)_(?P<age>\d+)_[mf]$", re.IGNORECASE)
DECADES = tuple(f"{age}-{age + 9}" for age in range(0, 100, 10))


class _Face(NamedTuple):
    file: ImageFile
    age: int
    person: str
    is_test: bool


class AgeDB(Dataset):
    """16,488 faces of 568 people, aged 1 to 101.

    Two layouts are read: the official folder, out of which whole identities are held out as test
    set; and a folder with a CSV file (columns `age`, `img_path`, `folder`; fold 0 is the test set),
    as the study of epsilon-hat has it.
    Source: S. Moschoglou et al., AgeDB, CVPR Workshops 2017.

    Args:
        root: folder of the images.
        cache: folder of decoded images.
        target: `years` (regression) or `decades` (ten classes, 100 years and above in the last,
            cross-entropy weighted by the inverse class frequency of the training set).
        criterion: `l1` or `mse`, for `years`.
        test_fraction: share of the images whose people are held out; not used with a CSV file.
        seed: of that split.
        side: side in pixels to resize the files to once.
        mean: per-channel mean for normalisation, in [0, 1] pixel units.
        std: per-channel standard deviation.
        csv: name of the CSV file in `root`; None = the official folder.
        size: side in pixels that the network gets, None = as stored.
    """

    def __init__(
        self,
        root: str,
        cache: str,
        target: Literal["years", "decades"],
        criterion: Literal["l1", "mse"],
        test_fraction: float,
        seed: int,
        side: int,
        mean: list[float],
        std: list[float],
        csv: str | None = None,
        size: int | None = None,
    ):
        self.root, self.cache, self.csv, self.side = root, Path(cache), csv, side
        self.target, self.criterion = target, criterion
        self.test_fraction, self.seed = test_fraction, seed
        check_side("side", side)
        check_fraction(test_fraction)
        check_seed(seed)
        self.transform = network_input(mean, std, size, channels=3)
        self._class_weights: tuple[float, ...] = ()

    @property
    def task(self) -> Task:
        if self.target == "years":
            return Task("regression", 1, self.criterion, unit="years")
        return Task("classification", 10, class_weights=self._class_weights, class_names=DECADES)

    def load(self) -> dict[str, Table]:
        root = require_folder(self.root, "dataset.root", SOURCE, LAYOUT)
        faces, left_out = self._official(root) if self.csv is None else self._listed(root, self.csv)
        people = {name: i for i, name in enumerate(sorted({face.person for face in faces}))}
        tables, read = {}, {}
        for role in ("train", "test"):
            part = [face for face in faces if face.is_test == (role == "test")]
            if not part:
                raise UserError(f"dataset.root={root}: no {role} images; expected {LAYOUT}")
            files = [face.file for face in part]
            pixels = decode(root, files, self.cache, side=self.side, label=f"{role} images")
            read[role] = pixels
            ages = torch.tensor([face.age for face in part])
            decades = (ages // 10).clamp(max=9)
            tables[role] = Table(
                pixels.images,
                ages.float() if self.target == "years" else decades,
                self.transform,
                group=torch.tensor([people[face.person] for face in part]),
                names=tuple(file.name for file in files),
                content=pixels.content,
            )
            if role == "train":
                counts = decades.bincount(minlength=10).clamp(min=1)
                self._class_weights = tuple((len(part) / counts).tolist())
        say_what_was_read(root, read, left_out)
        return tables

    def _official(self, root: Path) -> tuple[list[_Face], tuple[LeftOut, ...]]:
        found = list_images(root)
        files = found.files
        parsed = [parse_name(file.name) for file in files]
        wrong = [file.name for file, part in zip(files, parsed, strict=True) if part is None]
        if wrong or not files:
            what = f"{wrong[0]!r} has another name" if wrong else "no images in it"
            raise UserError(f"dataset.root={root}: {what}; expected {LAYOUT}; {SOURCE}")
        known = [part for part in parsed if part is not None]
        number = {name: i for i, name in enumerate(sorted({person for person, _ in known}))}
        is_test = hold_out_groups(
            [number[person] for person, _ in known], self.test_fraction, self.seed
        )
        faces = [
            _Face(file, age, person, test)
            for file, (person, age), test in zip(files, known, is_test, strict=True)
        ]
        return faces, found.left_out

    def _listed(self, root: Path, name: str) -> tuple[list[_Face], tuple[LeftOut, ...]]:
        table = require_entry(root / name, "dataset.root", SOURCE, LAYOUT)
        rows = read_csv(table, ("age", "img_path", "folder"))
        found = match_files([row["img_path"] for row in rows], root, table)
        faces = []
        for number, (row, file) in enumerate(zip(rows, found.files, strict=True), start=2):
            try:
                age, fold = int(float(row["age"])), int(float(row["folder"]))
            except (ValueError, OverflowError):
                raise UserError(
                    f"{table}, line {number}: age {row['age']!r} or folder {row['folder']!r} is "
                    "not a number"
                ) from None
            part = parse_name(file.name)
            # Without an identity in its name an image is an identity of its own.
            faces.append(_Face(file, age, part[0] if part else file.name, fold == 0))
        return faces, found.left_out


def parse_name(name: str) -> tuple[str, int] | None:
    """Person and age in `folder/<index>_<name>_<age>_<gender>.jpg`; None for another form."""
    match = NAME.match(Path(name).stem)
    return (match["person"], int(match["age"])) if match else None
