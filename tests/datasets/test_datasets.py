"""Tables, folders of images and the CIFAR archives, on tiny trees in their own layout."""

import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_trees import picture, pixels_of, save, write_cifar, write_folder

from unlearn.data.tables import Table, Transform
from unlearn.datasets.cifar import CIFAR, superclass_of
from unlearn.datasets.image_folder import ImageFolder
from unlearn.errors import UserError

HALF = [0.5, 0.5, 0.5]


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def folder(root: Path, cache: str, **how) -> ImageFolder:
    return ImageFolder(str(root), cache, HALF, HALF, **how)


# Transform and table


def test_transform_normalises_and_then_resizes():
    images = torch.full((1, 3, 4, 4), 51, dtype=torch.uint8)
    out = Transform((0.1, 0.2, 0.4), (0.5, 0.5, 0.2), 8)(images)
    assert out.shape == (1, 3, 8, 8)
    assert torch.allclose(out.mean((0, 2, 3)), torch.tensor([0.2, 0.0, -1.0]), atol=1e-6)


def test_digest_knows_pixels_targets_groups_and_transform():
    def digest(**changes) -> str:
        values = {
            "images": torch.zeros(2, 1, 2, 2, dtype=torch.uint8),
            "targets": torch.tensor([0, 1]),
            "group": torch.tensor([3, 4]),
        }
        return Table(**{**values, **changes}).digest()

    others = [
        digest(images=torch.ones(2, 1, 2, 2, dtype=torch.uint8)),
        digest(targets=torch.tensor([1, 1])),
        digest(group=torch.tensor([3, 3])),
        digest(transform=Transform(size=4)),
    ]
    assert digest() == digest() and digest() not in others


# image_folder


def test_folder_reads_roles_classes_and_pixels(tmp_path, cache):
    write_folder(tmp_path / "data", classes=("zebra", "Ångström näme", "ant"))
    data = folder(tmp_path / "data", cache)
    tables = data.load()
    assert set(tables) == {"train", "test"}
    assert data.task.class_names == ("ant", "zebra", "Ångström näme")
    assert tables["train"].targets.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    # Written zebra first, so its pictures have the seeds 0 to 2.
    assert torch.equal(tables["train"].images[3], pixels_of(0))
    assert tables["train"].names[3] == "zebra/0.png"


def test_folder_identity_is_its_content_not_its_place(tmp_path, cache):
    one = folder(write_folder(tmp_path / "one"), cache)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    two = folder(tmp_path / "two", str(tmp_path / "other cache"))
    first = one.content_id(one.load())
    assert first == two.content_id(two.load()) == one.content_id(one.load())
    save(tmp_path / "two" / "train" / "cat" / "0.png", 99)
    assert first != two.content_id(two.load())


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "CMYK"])
def test_folder_converts_every_kind_of_image(tmp_path, cache, mode):
    root = write_folder(tmp_path / "data")
    suffix = "tif" if mode == "CMYK" else "png"
    picture(50).convert(mode).save(root / "train" / "cat" / f"9.{suffix}")
    expected = picture(50).convert(mode).convert("RGB")
    image = folder(root, cache).load()["train"].images[-1]
    assert torch.equal(image.permute(1, 2, 0), torch.from_numpy(np.asarray(expected).copy()))
    grey = folder(root, cache, channels=1).load()["train"].images
    assert grey.shape == (7, 1, 16, 16)


def test_folder_resizes_when_asked_and_else_names_the_odd_one(tmp_path, cache):
    root = write_folder(tmp_path / "data")
    save(root / "train" / "cat" / "wide.png", 1, side=24)
    with pytest.raises(UserError, match=r"wide\.png is 24 pixels wide.*16.*dataset\.side"):
        folder(root, cache).load()
    assert folder(root, cache, side=8).load()["train"].images.shape == (7, 3, 8, 8)
    Image.new("RGB", (10, 16)).save(root / "train" / "cat" / "wide.png")
    with pytest.raises(UserError, match="10x16 pixels, not square"):
        folder(root, cache).load()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"no image at all"), "cannot be decoded"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "cannot be decoded"),
    ],
    ids=["zero bytes", "corrupted", "truncated"],
)
def test_folder_names_a_bad_image_and_leaves_nothing(tmp_path, cache, damage, message):
    root = write_folder(tmp_path / "data")
    damage(root / "train" / "cat" / "1.png")
    with pytest.raises(UserError, match=rf"cat/1\.png {message}"):
        folder(root, cache).load()
    assert not list(Path(cache).rglob("*.npy")) and not list(Path(cache).rglob("*.json"))


def test_folder_says_what_is_missing(tmp_path, cache):
    with pytest.raises(UserError, match=r"dataset\.root is missing"):
        ImageFolder(None, cache, HALF, HALF).load()
    with pytest.raises(UserError, match="no such folder; expected FOLDER/train"):
        folder(tmp_path / "nowhere", cache).load()
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match="is an archive: unpack it"):
        folder(tmp_path / "data.zip", cache).load()
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "images.tar.gz").write_bytes(b"")
    with pytest.raises(UserError, match=r"no train in it \(there is the archive images\.tar\.gz"):
        folder(tmp_path / "packed", cache).load()
    root = write_folder(tmp_path / "data")
    (root / "train" / "empty").mkdir()
    with pytest.raises(UserError, match="train/empty: no images in it"):
        folder(root, cache).load()
    shutil.rmtree(root / "train" / "empty")
    save(root / "test" / "dog" / "0.png", 0)
    with pytest.raises(UserError, match="test/dog: no class of this name"):
        folder(root, cache).load()


# cifar


@pytest.fixture
def trusted(monkeypatch):
    """Accept archives of our own making, which have other checksums."""
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a, **k: True)


@pytest.mark.parametrize(("variant", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_cifar_reads_the_unpacked_archive(tmp_path, trusted, variant, classes):
    root = write_cifar(tmp_path, variant)
    data = CIFAR(variant, str(root), HALF, HALF)
    tables = data.load()
    assert tables["train"].images.shape == (20, 3, 32, 32)
    assert tables["test"].images.shape == (10, 3, 32, 32)
    assert tables["train"].images.dtype == torch.uint8 and tables["train"].fine is None
    assert data.task.num_outputs == classes == len(data.task.class_names)
    inner = next(path for path in root.iterdir() if path.is_dir())
    assert CIFAR(variant, str(inner), HALF, HALF).load()["test"].digest() == tables["test"].digest()


def test_cifar20_keeps_the_fine_classes(tmp_path, trusted):
    write_cifar(tmp_path, "cifar100")
    fine = CIFAR("cifar100", str(tmp_path), HALF, HALF).load()["train"].targets
    data = CIFAR("cifar20", str(tmp_path), HALF, HALF)
    train = data.load()["train"]
    assert torch.equal(train.fine, fine)
    assert torch.equal(train.targets, superclass_of()[fine])
    assert data.task.num_outputs == 20 == len(data.task.class_names)


def test_superclasses_are_the_published_ones():
    table = superclass_of()
    assert table.bincount().tolist() == [5] * 20
    published = {69: 19, 51: 4, 2: 14, 40: 5, 71: 10}  # rocket, mushroom, baby, lamp, sea
    assert {fine: int(table[fine]) for fine in published} == published


def test_cifar_without_a_network_says_so_in_one_line(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", offline)
    with pytest.raises(UserError) as caught:
        CIFAR("cifar10", str(tmp_path / "data"), HALF, HALF).load()
    text = str(caught.value)
    assert "\n" not in text and "no route to host" in text
    assert all(word in text for word in ("cifar-10-batches-py", "image_folder", "toronto"))
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"")
    with pytest.raises(UserError, match="archive: unpack it"):
        CIFAR("cifar10", str(tmp_path / "cifar-10-python.tar.gz"), HALF, HALF).load()
