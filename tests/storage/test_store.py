"""The store under many processes, kills, damage and a full disk."""

import hashlib
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import pytest
import torch

from unlearn.errors import UserError
from unlearn.storage.store import Address, DamagedEntry, Store, read_tensors, write_folder

ADDRESS = Address("original", "net", {"what": "a test", "seed": 3})


def numbered(number: int) -> Address:
    return Address("original", "net", {"number": number})


def made(size: int = 1000) -> tuple[dict[str, torch.Tensor], dict]:
    generator = torch.Generator().manual_seed(0)
    return {"weight": torch.randn(size, generator=generator)}, {"costs": {"seconds": 1.0}}


def _ask(root: Path, count: Path, barrier, answers) -> None:
    def make():
        with count.open("a") as stream:
            stream.write("made\n")
        time.sleep(0.2)
        return made()

    barrier.wait()
    entry = Store(root).get_or_make(ADDRESS, make)
    answers.put(hashlib.sha256(entry.tensors["weight"].numpy().tobytes()).hexdigest())


def test_sixteen_processes_that_ask_at_once_make_an_entry_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(16), context.Queue()
    count = tmp_path / "count"
    askers = [
        context.Process(target=_ask, args=(tmp_path / "store", count, barrier, answers))
        for _ in range(16)
    ]
    for asker in askers:
        asker.start()
    digests = [answers.get(timeout=60) for _ in askers]
    for asker in askers:
        asker.join()
        assert asker.exitcode == 0
    assert count.read_text() == "made\n"
    assert len(set(digests)) == 1


def _write_forever(root: Path) -> None:
    for number in range(10**6):
        Store(root).publish(numbered(number), made(200_000))


def test_a_writer_killed_at_any_moment_leaves_nothing_half_visible(tmp_path):
    context = multiprocessing.get_context("fork")
    for round_ in range(4):
        writer = context.Process(target=_write_forever, args=(tmp_path,))
        writer.start()
        while len(list(tmp_path.glob("original/net-*"))) < 3 * (round_ + 1):
            assert writer.is_alive(), "the writer ended by itself"
            time.sleep(0.003)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    folders = list(tmp_path.glob("original/net-*"))
    assert len(folders) >= 12
    for folder in folders:
        assert torch.equal(read_tensors(folder, "tensors")["weight"], made(200_000)[0]["weight"])
    # What is left aside belongs to entries that were never published; making them clears it.
    number = len(folders)
    Store(tmp_path).publish(numbered(number - 1), made())
    Store(tmp_path).publish(numbered(number), made())
    assert not [path for path in tmp_path.glob("original/.*") if path.is_dir()]


@pytest.mark.parametrize("file", ["tensors.safetensors", "meta.json", "checksums.json"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.99])
def test_a_flipped_byte_is_found_named_and_rebuilt(tmp_path, caplog, file, place):
    store = Store(tmp_path)
    first = store.get_or_make(ADDRESS, made)
    damaged = store.folder(ADDRESS) / file
    data = bytearray(damaged.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    damaged.write_bytes(bytes(data))
    assert store.read(ADDRESS) is None
    assert str(damaged.parent) in caplog.text and "will be rebuilt" in caplog.text
    again = store.get_or_make(ADDRESS, made)
    assert torch.equal(first.tensors["weight"], again.tensors["weight"])
    assert store.read(ADDRESS) is not None


def _write_on_a_full_disk(root: Path, answers) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        Store(root).publish(ADDRESS, made(200_000))
        answers.put("written")
    except UserError as error:
        answers.put(str(error))


def test_a_full_disk_is_a_user_error_and_leaves_nothing_visible(tmp_path):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    writer = context.Process(target=_write_on_a_full_disk, args=(tmp_path, answers))
    writer.start()
    told = answers.get(timeout=60)
    writer.join()
    assert told.startswith("cannot write") and "paths.store" in told
    assert list(tmp_path.glob("original/*")) == [] == list(tmp_path.glob("original/.*"))


def test_tensors_that_share_memory_are_written(tmp_path):
    base = torch.arange(6.0)
    write_folder(tmp_path / "e", {"tensors": {"a": base, "b": base[1:3]}}, {})
    assert torch.equal(read_tensors(tmp_path / "e", "tensors")["b"], torch.tensor([1.0, 2.0]))


def test_a_missing_file_is_damage(tmp_path):
    with pytest.raises(DamagedEntry):
        read_tensors(tmp_path, "tensors")


def test_a_miss_says_what_differs(tmp_path):
    store = Store(tmp_path)
    store.publish(Address("original", "net", {"model": "a", "seed": 0}), made())
    told = store.nearest_difference(Address("original", "net", {"model": "b", "seed": 0}))
    assert told == "the nearest one there differs in model"
