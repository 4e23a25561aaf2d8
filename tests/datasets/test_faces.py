"""MUFAC, its synthetic stand-in, AgeDB and Pins, on tiny trees in the layout they come in."""

import csv
import logging
import shutil
from pathlib import Path

import pytest
import torch
from support.image_trees import pixels_of, save, write_agedb, write_csv, write_mufac

from unlearn.data.holdout import hold_out_groups, hold_out_of_each
from unlearn.datasets.agedb import AgeDB
from unlearn.datasets.mufac import Mufac
from unlearn.datasets.mufac_synthetic import MufacSynthetic
from unlearn.datasets.pins import Pins
from unlearn.errors import UserError

HALF = [0.5, 0.5, 0.5]


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def agedb(root: Path, cache: str, target: str = "years", **how) -> AgeDB:
    return AgeDB(
        str(root),
        cache,
        target,
        "l1",
        **{"test_fraction": 0.2, "seed": 0, "side": 16, **how},
        mean=HALF,
        std=HALF,
    )


# mufac


def test_mufac_crossed_names_classes_and_households(tmp_path, cache):
    root = write_mufac(tmp_path / "mufac")
    data = Mufac(str(root), cache)
    tables = data.load()
    assert {role: len(table) for role, table in tables.items()} == {
        "train": 24, "test": 8, "unseen": 8,
    }  # fmt: skip
    assert set(tables["test"].group.tolist()) == {801, 802}
    assert set(tables["unseen"].group.tolist()) == {851, 852}
    assert tables["train"].group.tolist() == [h for h in range(1, 7) for _ in range(4)]
    assert tables["train"].targets.tolist() == [i % 8 for i in range(24)]
    assert torch.equal(tables["test"].images[0], pixels_of(24))
    assert data.task.num_outputs == 8 and not data.synthetic


def test_mufac_keeps_the_order_of_the_csv(tmp_path, cache):
    root = write_mufac(tmp_path / "mufac")
    path = root / "custom_train_dataset.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    names = Mufac(str(root), cache).load()["train"].names
    assert list(names) == [line.split(",")[0] for line in reversed(lines[1:])]


def test_mufac_leaves_out_exact_copies(tmp_path, cache, caplog):
    root = write_mufac(tmp_path / "mufac")

    def copy(old: str, new: str) -> None:
        shutil.copy(next(root.glob(old)), next(root.glob(new)))

    copy("train_images/F0001*0.png", "val_images/F0801*0.png")
    copy("train_images/F0001*1.png", "test_images/F0851*1.png")
    copy("val_images/F0802*2.png", "test_images/F0852*2.png")
    copy("train_images/F0001*2.png", "train_images/F0003*2.png")  # another household: dropped
    copy("train_images/F0004*0.png", "train_images/F0004*1.png")  # the same one: stays
    with caplog.at_level(logging.INFO):
        clean = Mufac(str(root), cache).load()
    assert [len(clean[role]) for role in ("train", "test", "unseen")] == [23, 7, 6]
    assert "1 exact copies left out of the train images" in caplog.text
    assert "2 exact copies left out of the unseen images" in caplog.text
    assert clean["test"].names[0].startswith("F0801") and clean["test"].group[0] == 801
    # The pixels that stay belong to the rows that stay.
    assert torch.equal(clean["test"].images[0], pixels_of(25))
    everything = Mufac(str(root), cache, clean=False).load()
    assert [len(everything[role]) for role in ("train", "test", "unseen")] == [24, 8, 8]
    assert clean["train"].digest() != everything["train"].digest()


def test_mufac_rows_and_files_must_agree(tmp_path, cache, caplog):
    root = write_mufac(tmp_path / "mufac")
    save(root / "train_images" / "F0001_AGE_D_1_a9.png", 77)
    with caplog.at_level(logging.INFO):
        tables = Mufac(str(root), cache).load()
    assert len(tables["train"]) == 24
    assert (
        "40 images read (train 24, test 8, unseen 8), 1 file left out: 1 without a row in "
        "custom_train_dataset.csv (train_images/F0001_AGE_D_1_a9.png)" in caplog.text
    )
    next((root / "train_images").glob("F0002*")).unlink()
    with pytest.raises(UserError, match="1 of 24 rows have no file in .*F0002"):
        Mufac(str(root), cache).load()
    (root / "custom_val_dataset.csv").write_text("image_path,age_class\nF0801_x.png,z\n")
    shutil.rmtree(root / "train_images")
    with pytest.raises(UserError, match="there is no train_images in it"):
        Mufac(str(root), cache).load()


def test_mufac_bad_tables(tmp_path, cache):
    root = write_mufac(tmp_path / "mufac")
    path = root / "custom_train_dataset.csv"
    for text, message in (
        ("image_path,age\nF0001_x.png,a\n", "no column 'age_class'"),
        ("image_path,age_class\nF0001_x.png,z\n", "line 2: age class 'z' is not one of a..h"),
        ("image_path,age_class\nx.png,a\n", "names no household"),
        ("image_path,age_class\n", "no rows"),
        ("image_path,age_class\nF0001_x.png,\n", "line 2: a value is missing"),
        ("", "no column 'image_path'"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            Mufac(str(root), cache).load()
    with pytest.raises(UserError, match=r"ndb796.*mufac_synthetic"):
        Mufac(str(tmp_path / "nowhere"), cache).load()


def test_mufac_synthetic_is_written_once_and_marked(tmp_path, cache):
    how = {"households": 8, "images": 5, "side": 16, "seed": 0}
    data = MufacSynthetic(str(tmp_path / "tree"), cache, **how)
    tables = data.load()
    assert data.synthetic
    assert [len(tables[role]) for role in ("train", "test", "unseen")] == [40, 10, 10]
    (tree,) = [path for path in (tmp_path / "tree").iterdir() if path.is_dir()]
    assert (tree / "SYNTHETIC.json").exists()
    # The real loader reads it, and a second drawing of the same seed is the same.
    again = MufacSynthetic(str(tmp_path / "second"), cache, **how)
    assert data.content_id(tables) == again.content_id(again.load())
    assert Mufac(str(tree), cache).load()["train"].digest() == tables["train"].digest()
    other = MufacSynthetic(str(tmp_path / "tree"), cache, **{**how, "seed": 1})
    assert other.content_id(other.load()) != data.content_id(tables)


# agedb


def test_agedb_official_folder(tmp_path, cache):
    data = agedb(write_agedb(tmp_path / "agedb"), cache)
    tables = data.load()
    train, test = tables["train"], tables["test"]
    assert (len(train), len(test)) == (32, 8)
    assert not set(train.group.tolist()) & set(test.group.tolist()), "no person on both sides"
    assert data.task.kind == "regression" and data.task.num_outputs == 1
    assert data.task.unit == "years" and train.targets.dtype == torch.float32
    for name, age, group in zip(train.names, train.targets, train.group, strict=True):
        assert float(name.split("_")[-2]) == age
        assert name.split("_")[2] == f"Son{int(group)}"


def test_agedb_as_ten_weighted_classes(tmp_path, cache):
    data = agedb(write_agedb(tmp_path / "agedb"), cache, "decades")
    train = data.load()["train"]
    ages = torch.tensor([int(name.split("_")[-2]) for name in train.names])
    assert ages.max() >= 100 and len(train.targets.unique()) > 5
    assert torch.equal(train.targets, (ages // 10).clamp(max=9))
    counts = train.targets.bincount(minlength=10).clamp(min=1)
    assert torch.allclose(torch.tensor(data.task.class_weights), 32 / counts)


def test_agedb_csv_with_folds(tmp_path, cache):
    root = write_agedb(tmp_path / "agedb")
    rows = [
        (path.name.split("_")[-2], path.name, i % 4)
        for i, path in enumerate(sorted(root.iterdir()))
    ]
    write_csv(root / "agedb.csv", ("age", "img_path", "folder"), rows)
    tables = agedb(root, cache, csv="agedb.csv").load()
    assert list(tables["test"].names) == [name for _, name, fold in rows if fold == 0]
    assert list(tables["train"].names) == [name for _, name, fold in rows if fold]
    assert tables["train"].group.unique().numel() == 10
    write_csv(root / "agedb.csv", ("age", "img_path", "folder"), [("old", rows[0][1], 0)])
    with pytest.raises(UserError, match="line 2: age 'old'"):
        agedb(root, cache, csv="agedb.csv").load()


def test_agedb_refuses_other_names(tmp_path, cache):
    save(tmp_path / "agedb" / "portrait.jpg", 0)
    with pytest.raises(UserError, match=r"'portrait\.jpg' has another name; expected files named"):
        agedb(tmp_path / "agedb", cache).load()
    with pytest.raises(UserError, match="Imperial College"):
        agedb(tmp_path / "nowhere", cache).load()


# pins


def test_pins_makes_and_records_a_test_set(tmp_path, cache):
    for person in range(3):
        for i in range(10):
            save(
                tmp_path / "pins" / f"pins_Name {person}" / f"Name{person}_{i}.jpg", 10 * person + i
            )
    how = {"test_fraction": 0.2, "side": 12, "mean": HALF, "std": HALF, "size": 8}
    data = Pins(str(tmp_path / "pins"), cache, seed=0, **how)
    tables = data.load()
    assert tables["train"].targets.bincount().tolist() == [8, 8, 8]
    assert tables["test"].targets.bincount().tolist() == [2, 2, 2]
    assert not set(tables["train"].names) & set(tables["test"].names)
    assert tables["train"].images.shape == (24, 3, 12, 12)
    assert tables["train"].transform(tables["train"].images[:1]).shape == (1, 3, 8, 8)
    with (Path(cache) / "splits" / "pins_test0.2_seed0.csv").open() as file:
        recorded = {row["file"]: row["role"] for row in csv.DictReader(file)}
    assert {name for name, role in recorded.items() if role == "test"} == set(tables["test"].names)
    other = Pins(str(tmp_path / "pins"), cache, seed=1, **how).load()
    assert other["test"].names != tables["test"].names
    with pytest.raises(UserError, match="Kaggle"):
        Pins(str(tmp_path / "nowhere"), cache, seed=0, **how).load()


def test_held_out_groups_are_whole_and_about_the_share():
    groups = torch.randint(50, (2000,), generator=torch.Generator().manual_seed(0)).tolist()
    marked = torch.tensor(hold_out_groups(groups, 0.3, 0))
    column = torch.tensor(groups)
    assert not set(column[marked].tolist()) & set(column[~marked].tolist())
    assert 0.3 <= marked.float().mean() < 0.35
    assert hold_out_groups(groups, 0.3, 0) != hold_out_groups(groups, 0.3, 1)
    with pytest.raises(UserError, match="no identity to train on"):
        hold_out_groups([0, 0, 0], 0.5, 0)
    assert hold_out_of_each([0, 1, 1], 0.5, 0)[0] is False, "a class of one stays in training"
