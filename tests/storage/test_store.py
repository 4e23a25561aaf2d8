"""The store under many processes, kills, damage and a full disk."""

import errno
import hashlib
import multiprocessing
import os
import resource
import signal
import stat
import time
from pathlib import Path

import pytest
import torch

from unlearn.errors import UserError
from unlearn.storage.folders import DamagedEntry, read_tensors
from unlearn.storage.store import Address, Store

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


@pytest.mark.parametrize("code", ["EACCES", "EIO", "EMFILE", "ESTALE"])
def test_what_cannot_be_read_is_not_damaged(tmp_path, monkeypatch, code):
    """One line, and nothing is deleted or made again."""
    store = Store(tmp_path)
    store.publish(ADDRESS, made())
    before = sorted(tmp_path.rglob("*"))
    number, read = getattr(errno, code), Path.read_bytes

    def refused(path):
        if path.name == "tensors.safetensors":
            raise OSError(number, os.strerror(number))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(UserError, match="nothing was changed") as caught:
        store.get_or_make(ADDRESS, lambda: pytest.fail("it was made again"))
    assert "\n" not in str(caught.value) and os.strerror(number) in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.undo()
    assert store.read(ADDRESS) is not None


def test_two_entries_exchanged_on_disk_are_found(tmp_path, caplog):
    store = Store(tmp_path)
    one, other = numbered(1), numbered(2)
    for number, address in enumerate((one, other)):
        store.publish(address, ({"weight": torch.full((2,), float(number))}, {}))
    first, second = store.folder(one), store.folder(other)
    first.rename(tmp_path / "x")
    second.rename(first)
    (tmp_path / "x").rename(second)
    assert store.meta(one) is None
    assert store.read(one) is None and store.read(other) is None
    assert caplog.text.count("of another entry") == 2


def test_files_of_others_in_a_damaged_entry_are_kept(tmp_path, caplog):
    store = Store(tmp_path)
    store.publish(ADDRESS, made())
    folder = store.folder(ADDRESS)
    (folder / "notes.txt").write_text("mine")
    (folder / "meta.json").write_text("{}")
    assert store.read(ADDRESS) is None
    [kept] = tmp_path.glob("original/.*/notes.txt")
    assert kept.read_text() == "mine" and str(kept.parent) in caplog.text


def test_an_entry_that_another_process_placed_meanwhile_stays(tmp_path, monkeypatch):
    """As on a file system without locks."""
    store = Store(tmp_path)
    store.publish(ADDRESS, ({"weight": torch.zeros(2)}, {}))
    monkeypatch.setattr(Store, "has", lambda store, address: False)
    store.publish(ADDRESS, ({"weight": torch.ones(2)}, {}))
    monkeypatch.undo()
    assert float(store.read(ADDRESS).tensors["weight"].sum()) == 0
    assert len(list((tmp_path / "original").iterdir())) == 1


def test_everything_is_flushed_before_it_is_renamed_and_the_name_after(tmp_path, monkeypatch):
    """What a power cut leaves is whole: files, their folder, then the rename, then its folder."""
    done, flush, rename = [], os.fsync, Path.rename

    def fsync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(("flush", path.name))
        flush(descriptor)

    def renamed(path, target):
        done.append(("rename", Path(target).name))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", renamed)
    store = Store(tmp_path)
    store.publish(ADDRESS, made())
    at = done.index(("rename", store.folder(ADDRESS).name))
    flushed = [name for _, name in done[:at]]
    assert {"tensors.safetensors", "meta.json", "description.json", "checksums.json"} == set(
        flushed[:-1]
    )
    assert ".writing." in flushed[-1] and done[at + 1 :] == [("flush", "original")]


def test_files_and_folders_have_the_mode_of_the_umask(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    before = os.umask(0o002)
    try:
        Store(shared).publish(ADDRESS, made())
    finally:
        os.umask(before)
    folder = Store(shared).folder(ADDRESS)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o664}, modes
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775


def test_tensors_that_share_memory_are_written(tmp_path):
    base = torch.arange(6.0)
    Store(tmp_path).publish(ADDRESS, ({"a": base, "b": base[1:3]}, {}))
    assert torch.equal(Store(tmp_path).read(ADDRESS).tensors["b"], torch.tensor([1.0, 2.0]))


def test_a_missing_file_is_damage(tmp_path):
    with pytest.raises(DamagedEntry):
        read_tensors(tmp_path, "tensors")


def test_a_miss_says_what_differs(tmp_path):
    store = Store(tmp_path)
    store.publish(Address("original", "net", {"model": "a", "seed": 0}), made())
    told = store.nearest_difference(Address("original", "net", {"model": "b", "seed": 0}))
    assert told == "the nearest one there differs in model"
