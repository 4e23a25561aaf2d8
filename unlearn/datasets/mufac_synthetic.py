"""A generated stand-in for MUFAC: the same files, drawn faces."""

import csv
import json
import math
from pathlib import Path

import numpy as np

from unlearn.data.holdout import check_seed
from unlearn.data.tables import Table
from unlearn.datasets.mufac import AGES, FILES, Mufac
from unlearn.errors import UserError
from unlearn.files import folders
from unlearn.files.locks import lock

VERSION = 1  # raise when the drawing changes
FIRST_HOUSEHOLD = {"train": 1, "test": 801, "unseen": 851}


class MufacSynthetic(Mufac):
    """Drawn ovals with wrinkles: age sets the furrows, the household sets colours and shape.

    The tree is written below `root` in the archive's layout, once, and then read as MUFAC is.
    Source: generated; no image shows anybody.

    Args:
        root: folder to write trees into.
        cache: folder of decoded images.
        households: households in the training set; test and unseen have a quarter of it each.
        images: images of one household.
        side: side in pixels.
        seed: of the drawing.
        clean: see `Mufac`.
        size: side in pixels that the network gets, None = as stored.
    """

    synthetic = True

    def __init__(
        self,
        root: str,
        cache: str,
        households: int,
        images: int,
        side: int,
        seed: int,
        clean: bool = True,
        size: int | None = None,
    ):
        if min(households // 4, images) < 1 or side < 8:
            raise UserError(
                "dataset: mufac_synthetic needs at least 4 households of 1 image and 8 pixels"
            )
        check_seed(seed)
        recipe = {"version": VERSION, "households": households, "images": images, "side": side}
        name = "-".join(f"{value}" for value in (*recipe.values(), seed))
        super().__init__(str(Path(root) / name), cache, clean, size=size)
        self.households, self.per_household = households, images
        self.pixels, self.seed, self.settings = side, seed, {**recipe, "seed": seed}

    def load(self) -> dict[str, Table]:
        root = Path(self.root)
        if not root.exists():
            with lock(root.parent, root.name, "synthetic faces that are drawn"):
                if not root.exists():
                    self._generate(root)
        return super().load()

    def _generate(self, root: Path) -> None:
        folders.clean(root.parent)
        aside = folders.aside_of(root, "writing")
        try:
            for number, (role, stem) in enumerate(FILES.items()):
                count = self.households if role == "train" else self.households // 4
                generator = np.random.default_rng((self.seed, number))
                folder = aside / f"{stem}_images"
                folder.mkdir(parents=True)
                rows = []
                for household in range(FIRST_HOUSEHOLD[role], FIRST_HOUSEHOLD[role] + count):
                    rows += self._household(folder, household, generator)
                with (aside / f"custom_{stem}_dataset.csv").open("w", newline="") as file:
                    csv.writer(file).writerows([("image_path", "age_class"), *rows])
            (aside / "SYNTHETIC.json").write_text(json.dumps(self.settings))
            folders.place(aside, root)
        finally:
            folders.drop(aside)

    def _household(
        self, folder: Path, household: int, generator: np.random.Generator
    ) -> list[tuple[str, str]]:
        from PIL import Image

        look = generator.uniform(size=8)
        rows = []
        for i in range(self.per_household):
            age = int(generator.integers(len(AGES)))
            letter = "abcdefgh"[age]
            name = f"F{household:04d}_AGE_D_{AGES[age].split('-')[0]}_{letter}{i}.jpg"
            pixels = drawn_face(age + generator.uniform(-0.7, 0.7), look, self.pixels, generator)
            Image.fromarray(pixels).save(folder / name, quality=90)
            rows.append((name, letter))
        return rows


def drawn_face(
    age: float, look: np.ndarray, side: int, generator: np.random.Generator
) -> np.ndarray:
    """One drawing.

    Args:
        age: class number, possibly between two classes.
        look: eight numbers in [0, 1] that a household shares.
        side: in pixels.
        generator: of pose, light and noise.

    Returns:
        `(side, side, 3)` uint8.
    """
    x0, y0 = generator.uniform(-0.15, 0.15, 2)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    x, y = x - x0, y - y0
    tilt = generator.uniform(-0.25, 0.25)
    x, y = x * math.cos(tilt) + y * math.sin(tilt), y * math.cos(tilt) - x * math.sin(tilt)
    height = 0.75 + 0.02 * age
    oval = 1 / (1 + np.exp(18 * ((x / (0.5 + 0.2 * look[0])) ** 2 + (y / height) ** 2 - 1)))
    furrows = np.sin((4 + 1.5 * age) * math.pi * y + 2 * math.pi * generator.uniform())
    hair = np.clip(-y - 0.35 - 0.3 * look[1], 0, 1) * 3
    skin = 0.45 + 0.4 * look[2:5]
    image = 0.25 + 0.5 * look[5:8] * np.ones((side, side, 1))
    face = skin * (1 + 0.18 * furrows[..., None])
    face = face + np.minimum(hair, 1)[..., None] * (age / 9 - face * 0.7)
    image = image + oval[..., None] * (face - image)
    image = image * generator.uniform(0.8, 1.2) + generator.normal(0, 0.06, image.shape)
    return (image.clip(0, 1) * 255).astype(np.uint8)
