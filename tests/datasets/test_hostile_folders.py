"""Folders as people have them: every file is read, or counted, or named in one clear line."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_trees import (
    picture,
    pixels_of,
    save,
    write_agedb,
    write_csv,
    write_folder,
    write_mufac,
)

from unlearn.datasets.agedb import AgeDB
from unlearn.datasets.image_folder import ImageFolder
from unlearn.datasets.mufac import Mufac
from unlearn.datasets.pins import Pins
from unlearn.errors import UserError

HALF = [0.5, 0.5, 0.5]


def load(root: Path, **how):
    return ImageFolder(str(root), str(root.parent / "cache"), HALF, HALF, **how).load()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two classes of three images each, to train and to test on."""
    return write_folder(tmp_path / "data")


# What is read or left out: files to add, images of `train` then, and the end of the line.
COUNTED: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "nothing odd": (lambda cat: None, 6, "12 images read (train 6, test 6)"),
    "heic": (
        lambda cat: (cat / "a.heic").write_bytes(b"ftypheic"),
        6,
        "12 images read (train 6, test 6), 1 file left out: 1 .heic (train/cat/a.heic)",
    ),
    "two heic": (
        lambda cat: [(cat / f"{i}.HEIC").write_bytes(b"ftypheic") for i in range(2)],
        6,
        "2 files left out: 2 .heic (train/cat/0.HEIC, ...)",
    ),
    "jfif": (lambda cat: picture(7).save(cat / "a.jfif", "JPEG"), 7, "13 images read"),
    "JPE": (lambda cat: picture(7).save(cat / "a.JPE", "JPEG"), 7, "13 images read"),
    "avif": (lambda cat: picture(7).save(cat / "a.avif"), 7, "13 images read"),
    "jp2": (lambda cat: picture(7).save(cat / "a.jp2"), 7, "13 images read"),
    "tga": (lambda cat: picture(7).save(cat / "a.TGA"), 7, "13 images read"),
    "suffix of another format": (lambda cat: picture(7).save(cat / "a.jpg", "PNG"), 7, "13 images"),
    "stray image": (
        lambda cat: save(cat.parent / "a.png", 7),
        6,
        "1 file left out: 1 outside a class folder (train/a.png)",
    ),
    "folder of no role": (
        lambda cat: save(cat.parents[1] / "validation" / "cat" / "0.png", 7),
        6,
        "1 file left out: 1 beside train and test (validation)",
    ),
    "hidden": (
        lambda cat: (cat / ".DS_Store").write_bytes(b""),
        6,
        "1 file left out: 1 hidden (train/cat/.DS_Store)",
    ),
    "notes": (
        lambda cat: [(cat / name).write_text("") for name in ("a.txt", "LICENCE", "b.TXT")],
        6,
        "3 files left out: 2 .txt (train/cat/a.txt, ...), 1 without a suffix (train/cat/LICENCE)",
    ),
    "image in a deeper folder": (
        lambda cat: save(cat / "deep" / "er" / "0.png", 7),
        7,
        "13 images",
    ),
    "linked image": (lambda cat: (cat / "9.png").symlink_to(cat / "0.png"), 7, "13 images read"),
    "linked folder": (
        lambda cat: (cat / "more").symlink_to(cat.parent / "bird"),
        9,
        "15 images read",
    ),
    "16 bits": (
        lambda cat: Image.fromarray(np.full((16, 16), 30000, np.uint16)).save(cat / "a.png"),
        7,
        "13 images read (train 7, test 6), 1 scaled from 16 to 8 bits",
    ),
    "transparent": (
        lambda cat: Image.new("RGBA", (16, 16), (9, 9, 9, 0)).save(cat / "a.png"),
        7,
        "1 laid on white where transparent",
    ),
    "animated": (
        lambda cat: picture(7).save(cat / "a.gif", save_all=True, append_images=[picture(8)]),
        7,
        "1 animated, first frame taken",
    ),
    "name with a line break": (lambda cat: save(cat / "a\nb.png", 7), 7, "13 images read"),
    "name that is no text": (
        lambda cat: save(cat / os.fsdecode(b"\xff\xfe.png"), 7),
        7,
        "13 images read",
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_every_file_is_counted_in_one_line(tree, caplog, case):
    add, images, told = COUNTED[case]
    add(tree / "train" / "cat")
    with caplog.at_level(logging.INFO, "unlearn"):
        tables = load(tree)
    assert len(tables["train"]) == images == len(tables["train"].images)
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{tree}: ") and told in line
    if images == 6:
        assert "left out" in line or case == "nothing odd"
    # A second start, which decodes nothing, says the same.
    caplog.clear()
    with caplog.at_level(logging.INFO, "unlearn"):
        load(tree)
    assert [record.getMessage() for record in caplog.records] == [line]


def test_a_photograph_taken_sideways_is_turned_before_it_is_resized(tree, caplog):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.new("RGB", (32, 16), "red")
    stored.paste((0, 0, 255), (16, 0, 32, 16))  # blue on the right: below, when upright
    stored.save(tree / "train" / "cat" / "z.png", exif=exif)
    with caplog.at_level(logging.INFO, "unlearn"):
        image = load(tree, side=16)["train"].images[-1]
    assert "1 turned as their EXIF data say" in caplog.text
    assert image[0, :7].min() > 250 and image[2, 9:].min() > 250 and image[2, :7].max() < 5


# What ends with a line: damage, settings, and what the line must say.
REFUSED: dict[str, tuple[Callable[[Path], object], dict, str]] = {
    "no image at all": (
        lambda cat: [(f.unlink(), f.with_suffix(".heic").touch()) for f in [*cat.iterdir()]],
        {},
        r"train/cat: no images in it that can be read, only 3 \.heic \(cat/0\.heic, \.\.\.\)",
    ),
    "empty class": (
        lambda cat: (cat.parent / "ant").mkdir(),
        {},
        r"train/ant: no images in it that can be read; expected",
    ),
    "one class": (lambda cat: shutil.rmtree(cat), {}, "train has 1 class folders, at least 2"),
    "no test folder": (
        lambda cat: shutil.rmtree(cat.parents[1] / "test"),
        {},
        "there is no test in it",
    ),
    "test without images": (
        lambda cat: [f.unlink() for f in (cat.parents[1] / "test").glob("*/*")],
        {},
        "test: no images in it that can be read",
    ),
    "train is a file": (
        lambda cat: (shutil.rmtree(cat.parent), cat.parent.touch()),
        {},
        "train is a file",
    ),
    "root is a file": (
        lambda cat: (shutil.rmtree(cat.parents[1]), cat.parents[1].touch()),
        {},
        "is a file",
    ),
    "empty file": (lambda cat: (cat / "a.png").touch(), {}, r"cat/a\.png is empty: replace it"),
    "text": (lambda cat: (cat / "a.png").write_text("hi"), {}, r"cat/a\.png cannot be decoded"),
    "cut off": (
        lambda cat: (cat / "0.png").write_bytes((cat / "0.png").read_bytes()[:-40]),
        {},
        r"cat/0\.png cannot be decoded \(.*truncated",
    ),
    "svg named png": (lambda cat: (cat / "a.png").write_text("<svg/>"), {}, "cannot be decoded"),
    "link to nowhere": (
        lambda cat: (cat / "a.png").symlink_to("/nowhere/b.png"),
        {},
        r"cat/a\.png is a link that leads nowhere \(to /nowhere/b\.png\): mend it or take it out",
    ),
    "class that is a link to nowhere": (
        lambda cat: (cat.parent / "ant").symlink_to("/nowhere"),
        {},
        "train/ant is a link that leads nowhere",
    ),
    "link to itself": (
        lambda cat: (cat / "a.png").symlink_to("a.png"),
        {},
        r"cat/a\.png is a link that leads nowhere",
    ),
    "links in a circle": (
        lambda cat: (cat / "up").symlink_to(cat.parent),
        {},
        "cat/up/cat/up is a link to a folder that it lies in|cat/up is a link to a folder",
    ),
    "a link to each other's folder": (
        lambda cat: (
            (cat / "b").symlink_to(cat.parent / "bird"),
            (cat.parent / "bird" / "c").symlink_to(cat),
        ),
        {},
        "is a link to a folder that it lies in: take it out",
    ),
    "pipe": (
        lambda cat: os.mkfifo(cat / "a.png"),
        {},
        r"cat/a\.png is a pipe or a device, not a file",
    ),
    "device": (
        lambda cat: (cat / "a.png").symlink_to("/dev/zero"),
        {},
        r"cat/a\.png is a pipe or a device, not a file",
    ),
    "another size": (
        lambda cat: save(cat / "a.png", 1, side=24),
        {},
        r"a\.png is 24 pixels wide, the images before it 16: give dataset\.side",
    ),
    "not square": (
        lambda cat: Image.new("RGB", (8, 16)).save(cat / "a.png"),
        {},
        "8x16 pixels, not square",
    ),
    "transparent and refused": (
        lambda cat: Image.new("RGBA", (16, 16)).save(cat / "a.png"),
        {"transparency": "refuse"},
        r"a\.png is transparent in places: give dataset\.transparency=white",
    ),
    "32-bit pixels": (
        lambda cat: Image.fromarray(np.zeros((16, 16), np.float32)).save(cat / "a.tif"),
        {},
        r"a\.tif has F pixels, whose range is not known",
    ),
    "class of the test set only": (
        lambda cat: save(cat.parents[1] / "test" / "dog" / "0.png", 1),
        {},
        "test/dog: no class of this name",
    ),
    "size 0": (lambda cat: None, {"size": 0}, r"dataset\.size must lie in 1\.\."),
    "size below 0": (lambda cat: None, {"size": -8}, r"dataset\.size must lie in 1\.\."),
    "side 0": (lambda cat: None, {"side": 0}, r"dataset\.side must lie in 1\.\."),
    "side of a slip": (lambda cat: None, {"side": 10**9}, r"dataset\.side must lie in 1\.\."),
    "two channels": (lambda cat: None, {"channels": 2}, r"dataset\.channels must be 1 .* or 3"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_one_line_that_names_it(tree, case):
    damage, how, told = REFUSED[case]
    damage(tree / "train" / "cat")
    with pytest.raises(UserError, match=told) as caught:
        load(tree, **how)
    assert "\n" not in str(caught.value)
    left = [p for p in (tree.parent / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"]
    # Of the role that was read before the damage was met, the whole; of the other one nothing.
    assert not [p for p in left if p.name.startswith(".")]
    assert len([p for p in left if p.suffix == ".npy"]) <= 1


@pytest.mark.parametrize("key", ["mean", "std"])
@pytest.mark.parametrize(
    "values", [[0.5], [0.5] * 4, [], [0.5, 0.5, float("nan")], [0.5, 0.5, float("inf")]]
)
def test_mean_and_std_are_numbers_one_a_channel(tree, key, values):
    given = {"mean": HALF, "std": HALF, key: values}
    with pytest.raises(UserError, match=rf"dataset\.{key} (needs one number a channel|must hold)"):
        ImageFolder(str(tree), str(tree.parent / "cache"), **given)
    with pytest.raises(UserError, match=r"dataset\.std must hold numbers above 0"):
        ImageFolder(str(tree), str(tree.parent / "cache"), HALF, [0.5, 0.0, 0.5])


def test_a_disk_that_cannot_be_written_is_named(tree):
    (tree.parent / "cache").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cache.*paths\.data"):
        load(tree)


# The other families share the machinery; each counts in its own layout.


def test_pins_counts_what_lies_outside_of_people(tmp_path, caplog):
    for person in ("pins_a", "pins_b"):
        for i in range(3):
            save(tmp_path / "pins" / person / f"{i}.png", i)
    save(tmp_path / "pins" / "stray.png", 9)
    (tmp_path / "pins" / "pins_a" / "x.heic").touch()
    how = {"test_fraction": 0.3, "seed": 0, "side": 16, "mean": HALF, "std": HALF}
    with caplog.at_level(logging.INFO, "unlearn"):
        Pins(str(tmp_path / "pins"), str(tmp_path / "cache"), **how).load()
    assert (
        "6 images read (train 4, test 2), 2 files left out: 1 outside a folder (stray.png), "
        "1 .heic (pins_a/x.heic)" in caplog.text
    )
    for wrong in ({"test_fraction": 0.0}, {"test_fraction": 1.0}, {"seed": -1}, {"side": -3}):
        with pytest.raises(UserError, match=rf"dataset\.{next(iter(wrong))} must lie in"):
            Pins(str(tmp_path / "pins"), str(tmp_path / "cache"), **{**how, **wrong})


def test_agedb_counts_images_without_a_row_and_not_its_own_table(tmp_path, caplog):
    root = write_agedb(tmp_path / "agedb", people=2, images=2)
    names = sorted(path.name for path in root.iterdir())
    rows = [(30, name, i % 2) for i, name in enumerate(names[:3])]
    write_csv(root / "dataset.csv", ("age", "img_path", "folder"), rows)

    def read(**how):
        given = {"test_fraction": 0.2, "seed": 0, "side": 16, "mean": HALF, "std": HALF, **how}
        cache = str(tmp_path / "cache")
        return AgeDB(str(root), cache, "years", "l1", csv="dataset.csv", **given).load()

    with caplog.at_level(logging.INFO, "unlearn"):
        read()
    assert (
        "3 images read (train 1, test 2), 1 file left out: 1 without a row in dataset.csv "
        f"({names[3]})" in caplog.text
    )
    write_csv(root / "dataset.csv", ("age", "img_path", "folder"), [("inf", names[0], 0)])
    with pytest.raises(UserError, match="line 2: age 'inf'"):
        read()


def test_mufac_with_a_pipe_among_its_images_does_not_hang(tmp_path):
    root = write_mufac(tmp_path / "mufac")
    os.mkfifo(root / "train_images" / "F0001_AGE_D_1_a9.png")
    with pytest.raises(UserError, match="is a pipe or a device"):
        Mufac(str(root), str(tmp_path / "cache")).load()


def test_what_is_read_is_the_picture(tree):
    assert torch.equal(load(tree)["train"].images[0], pixels_of(0))
