"""The cache of decoded images: read again, rebuilt when it must be, never half written."""

import json
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.image_trees import pixels_of, save

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
    return decode(tree, list_images(tree), tree.parent / "cache", **{"side": None, **how})


@pytest.fixture
def decodings(monkeypatch) -> list[Path]:
    """Files that are decoded from now on."""
    seen: list[Path] = []
    original = module._read

    def counting(path, *rest):
        seen.append(path)
        return original(path, *rest)

    monkeypatch.setattr(module, "_read", counting)
    return seen


def test_pixels_are_those_of_the_files_in_listed_order(tree):
    pixels = read(tree)
    names = [file.name for file in list_images(tree)]
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


@pytest.mark.parametrize("damage", ["truncate", "delete", "note", "ids"])
def test_a_damaged_cache_is_rebuilt(tree, damage):
    first = read(tree)
    cache = tree.parent / "cache"
    array = cache / "pixels" / f"{first.content}.npy"
    if damage == "truncate":
        array.write_bytes(array.read_bytes()[:-1000])
    elif damage == "delete":
        array.unlink()
    elif damage == "note":
        next((cache / "files").iterdir()).write_text("{")
    else:
        ids = array.with_suffix(".ids")
        ids.write_bytes(b"\0" * 16 + ids.read_bytes()[16:])
    again = read(tree)
    assert again.content == first.content
    assert torch.equal(again.images[7], pixels_of(int(Path(list_images(tree)[7].name).stem)))


def test_failing_to_write_leaves_nothing_visible(tree, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        read(tree)
    left = [p for p in (tree.parent / "cache").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert left == []


def _read_in_process(tree: Path, queue) -> None:
    pixels = decode(tree, list_images(tree), tree.parent / "cache", side=None)
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
