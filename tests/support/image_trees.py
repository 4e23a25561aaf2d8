"""Tiny image trees in the layouts that data sets are distributed in."""

import csv
import pickle
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def picture(seed: int, side: int = 16) -> Image.Image:
    """A picture of its own for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def pixels_of(seed: int, side: int = 16) -> torch.Tensor:
    """The same as a `(3, S, S)` uint8 tensor."""
    return torch.from_numpy(np.asarray(picture(seed, side)).copy()).permute(2, 0, 1)


def save(path: Path, seed: int, side: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed, side).save(path)


def write_folder(
    root: Path, per_class: int = 3, classes: tuple[str, ...] = ("bird", "cat")
) -> Path:
    """OUT/train/<class>/..., OUT/test/<class>/...; the classes in the order given."""
    seed = 0
    for role in ("train", "test"):
        for name in classes:
            for i in range(per_class):
                save(root / role / name / f"{i}.png", seed)
                seed += 1
    return root


def write_csv(path: Path, header: tuple[str, ...], rows: list[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_mufac(root: Path, households: int = 6, images: int = 4) -> Path:
    """The benchmark's archive: three CSV files beside three folders, every image different."""
    seed = 0
    for stem, first, count in (("train", 1, households), ("val", 801, 2), ("test", 851, 2)):
        rows = []
        for household in range(first, first + count):
            for i in range(images):
                letter = "abcdefgh"[seed % 8]
                name = f"F{household:04d}_AGE_D_18_{letter}{i}.png"
                save(root / f"{stem}_images" / name, seed)
                rows.append((name, letter))
                seed += 1
        write_csv(root / f"custom_{stem}_dataset.csv", ("image_path", "age_class"), rows)
    return root


def write_agedb(root: Path, people: int = 10, images: int = 4) -> Path:
    """The official folder: <index>_<name>_<age>_<gender>.jpg."""
    for i in range(people * images):
        person, age = i // images, 5 + (i * 7) % 99
        save(root / f"{i}_Per_Son{person}_{age}_{'mf'[i % 2]}.jpg", i)
    return root


def write_cifar(root: Path, family: str) -> Path:
    """The unpacked archives, with 20 training and 10 test images."""
    generator = np.random.default_rng(0)

    def content(count: int, labels: dict[str, list[int]]) -> dict:
        data = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
        return {"data": data, "filenames": ["x"] * count, **labels}

    if family == "cifar10":
        folder = root / "cifar-10-batches-py"
        parts = {f"data_batch_{i}": 4 for i in range(1, 6)} | {"test_batch": 10}
        meta, key, names = "batches.meta", "label_names", [f"class{i}" for i in range(10)]
    else:
        folder = root / "cifar-100-python"
        parts = {"train": 20, "test": 10}
        meta, key, names = "meta", "fine_label_names", [f"class{i}" for i in range(100)]
    folder.mkdir(parents=True)
    for name, count in parts.items():
        labels = generator.integers(0, len(names), count).tolist()
        column = "labels" if family == "cifar10" else "fine_labels"
        (folder / name).write_bytes(pickle.dumps(content(count, {column: labels})))
    (folder / meta).write_bytes(pickle.dumps({key: names}))
    return root
