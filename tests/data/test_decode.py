"""The cache of decoded images: read again, rebuilt when it must be, never half written."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.compose import ROOT
from support.image_trees import picture, pixels_of, save

from unlearn.data import decode as module
from unlearn.data.decode import decode
from unlearn.data.listing import list_images
from unlearn.errors import UserError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for i in range(150):  # more than two tasks of the thread pool
        save(tmp_path / "data" / f"sub {i % 3}" / f"{i:03d}.png", i)
    return tmp_path / "data"


def read(tree: Path, **how):
    return decode(tree, list_images(tree).files, tree.parent / "cache", **{"side": None, **how})


@pytest.fixture
def decodings(monkeypatch) -> list[Path]:
    """Files that are decoded from now on."""
    seen: list[Path] = []
    original = module.read_image

    def counting(path, *rest):
        seen.append(path)
        return original(path, *rest)

    monkeypatch.setattr(module, "read_image", counting)
    return seen


def test_pixels_are_those_of_the_files_in_listed_order(tree):
    pixels = read(tree)
    names = [file.name for file in list_images(tree).files]
    assert names == sorted(names) and pixels.images.shape == (150, 3, 16, 16)
    for row in (0, 63, 64, 149):
        number = int(Path(names[row]).stem)
        assert torch.equal(pixels.images[row], pixels_of(number))


def test_second_start_decodes_nothing(tree, decodings):
    first = read(tree)
    assert len(decodings) >= 150
    decodings.clear()
    second = read(tree)
    assert not decodings
    assert first.content == second.content and torch.equal(first.images, second.images)
    # Writing to what was read must not reach the cache.
    second.images.zero_()
    assert torch.equal(read(tree).images, first.images)


def test_a_changed_file_is_noticed(tree, decodings):
    first = read(tree)
    path = tree / "sub 0" / "000.png"
    save(path, 999)
    os.utime(path, ns=(0, time.time_ns() + 1))
    second = read(tree)
    assert first.content != second.content
    assert torch.equal(second.images[0], pixels_of(999))
    # A touched file is decoded again, but the content stays what it was.
    os.utime(path, ns=(0, time.time_ns() + 2))
    decodings.clear()
    assert read(tree).content == second.content and decodings


def test_other_sizes_and_channels_are_other_arrays(tree):
    contents = {read(tree, **how).content for how in ({}, {"side": 8}, {"channels": 1})}
    assert len(contents) == 3


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "array truncated": lambda array, note: array.write_bytes(array.read_bytes()[:-1000]),
    "array empty": lambda array, note: array.write_bytes(b""),
    "array's header": lambda array, note: flip(array, 20),
    "array's type": lambda array, note: array.write_bytes(
        array.read_bytes().replace(b"|u1", b"|i1")
    ),
    "first pixel": lambda array, note: flip(array, 128),
    "last pixel": lambda array, note: flip(array, -1),
    "array deleted": lambda array, note: array.unlink(),
    "note": lambda array, note: note.write_text("{"),
    "note of another kind": lambda array, note: note.write_text("[]"),
    "ids": lambda array, note: flip(array.with_suffix(".ids"), 0),
    "ids deleted": lambda array, note: array.with_suffix(".ids").unlink(),
    "sums": lambda array, note: flip(array.with_suffix(".sums"), 0),
    "sums truncated": lambda array, note: array.with_suffix(".sums").write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_named_and_rebuilt(tree, decodings, damage, caplog):
    first = read(tree)
    expected = first.images.clone()
    cache = tree.parent / "cache"
    array = cache / "pixels" / f"{first.content}.npy"
    del first
    DAMAGES[damage](array, next((cache / "files").iterdir()))
    decodings.clear()
    again = read(tree)
    assert torch.equal(again.images, expected) and len(decodings) >= 150
    assert "deleted" in damage or "damaged; they are decoded again" in caplog.text
    decodings.clear()
    assert torch.equal(read(tree).images, expected) and not decodings


def test_what_cannot_be_read_at_the_moment_is_not_rebuilt(tree, monkeypatch):
    read(tree)
    before = sorted(p.name for p in (tree.parent / "cache").rglob("*"))

    def unreadable(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(np, "fromfile", unreadable)
    with pytest.raises(UserError, match=r"cannot be read from .*cache \(Input/output error\)"):
        read(tree)
    assert before == sorted(p.name for p in (tree.parent / "cache").rglob("*"))


def test_files_that_only_look_alike_are_told_apart(tree):
    """Same names, sizes and times, other pixels: in another folder, or put in place of one."""

    def bitmaps(folder: Path, seed: int) -> Path:
        for i in range(3):
            (folder / "a").mkdir(parents=True, exist_ok=True)
            picture(seed + i).save(folder / "a" / f"{i}.bmp")
            os.utime(folder / "a" / f"{i}.bmp", ns=(10**18, 10**18))
        return folder

    one, two = bitmaps(tree.parent / "one", 0), bitmaps(tree.parent / "two", 100)
    stamps = [[(f.name, f.size, f.modified_ns) for f in list_images(r).files] for r in (one, two)]
    assert stamps[0] == stamps[1]
    assert torch.equal(read(one).images[0], pixels_of(0))
    assert torch.equal(read(two).images[0], pixels_of(100))
    shutil.rmtree(two)
    bitmaps(two, 200)
    assert torch.equal(read(two).images[0], pixels_of(200))
    bitmaps(two, 300)  # written over in place, with the old times
    assert torch.equal(read(two).images[0], pixels_of(300))


def test_names_that_are_no_text_are_read(tree):
    (tree / "sub 0" / "000.png").rename(tree / "sub 0" / os.fsdecode(b"\xff.png"))
    assert len(read(tree).images) == 150


FULL = """
import sys
from pathlib import Path
from unlearn.data.decode import decode
from unlearn.data.listing import list_images
from unlearn.errors import UserError
tree, cache = map(Path, sys.argv[1:])
try:
    decode(tree, list_images(tree).files, cache, side=64)
except UserError as error:
    print(error)
"""


def test_a_full_disk_ends_with_one_line_and_leaves_no_partial_file(tree, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    # 150 images of 12 KB on a disk of 1 MB, which only these processes see.
    script = (
        'mount -t tmpfs -o size=1m none "$1" && "$2" -c "$3" "$4" "$1/cache"; find "$1" -type f'
    )
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a disk of a certain size")
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", disk, sys.executable, FULL, tree],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    line, *left = ended.stdout.splitlines()
    assert "No space left on device" in line and "paths.data" in line, ended.stderr
    assert not ended.stderr and all(name.endswith(".lock") for name in left)


def test_failing_to_write_leaves_nothing_visible(tree, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        read(tree)
    left = [p for p in (tree.parent / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []


def _read_in_process(tree: Path, queue) -> None:
    pixels = decode(tree, list_images(tree).files, tree.parent / "cache", side=None)
    queue.put((pixels.content, int(np.asarray(pixels.images).astype(np.int64).sum())))


def test_two_processes_at_once_agree(tree):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    both = [context.Process(target=_read_in_process, args=(tree, queue)) for _ in range(2)]
    for process in both:
        process.start()
    results = [queue.get(timeout=60) for _ in both]
    for process in both:
        process.join()
    assert results[0] == results[1]
    notes = list((tree.parent / "cache" / "files").iterdir())
    assert len(notes) == 1 and json.loads(notes[0].read_text())["count"] == 150
