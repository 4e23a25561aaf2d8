"""Locks: one works, the others wait and say so; nothing is left, and no locks are no error."""

import errno
import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from unlearn.errors import UserError
from unlearn.files import locks
from unlearn.files.locks import lock

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    """What the module remembers for the life of a process."""
    monkeypatch.setattr(locks, "_swept", set())
    monkeypatch.setattr(locks, "_told", set())


def _hold(folder: Path, held, free) -> None:
    with lock(folder, "thing", "a thing"):
        held.set()
        free.wait(30)


def holder(folder: Path):
    held, free = FORK.Event(), FORK.Event()
    process = FORK.Process(target=_hold, args=(folder, held, free))
    process.start()
    assert held.wait(30)
    return process, free


def _count(folder: Path, rounds: int) -> None:
    for _ in range(rounds):
        with lock(folder, "count", "a number"):
            file = folder / "number"
            number = int(file.read_text()) if file.exists() else 0
            time.sleep(0.001)
            file.write_text(str(number + 1))


def test_one_at_a_time_though_the_file_goes_on_every_release(tmp_path):
    workers = [FORK.Process(target=_count, args=(tmp_path, 25)) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert (tmp_path / "number").read_text() == "150"
    assert [path.name for path in tmp_path.iterdir()] == ["number"]


def test_who_waits_says_so_once_and_seldom_again(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(locks, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(locks, "REMINDER_SECONDS", 0.5)
    process, free = holder(tmp_path)
    begin, timer = time.monotonic(), FORK.Process(target=_set_later, args=(free, 0.9))
    timer.start()
    with caplog.at_level(logging.INFO), lock(tmp_path, "thing", "seed 3 of gisa") as alone:
        assert alone and time.monotonic() - begin > 0.5
    process.join()
    timer.join()
    first, *more = caplog.messages
    assert first.startswith("waiting for seed 3 of gisa: process ")
    assert f"process {process.pid} on " in first and "\n" not in first
    assert len(more) == 1 and "by now" in more[0]


def _set_later(event, seconds: float) -> None:
    time.sleep(seconds)
    event.set()


def test_a_killed_holder_releases_and_its_file_is_cleaned(tmp_path):
    process, _ = holder(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    old = tmp_path / ".older.lock"
    old.touch()  # an empty one, as earlier versions left
    (tmp_path / ".theirs.lock").write_text("not ours")
    living, free = holder(tmp_path / "other")
    (tmp_path / "other" / ".thing.lock").rename(tmp_path / ".held.lock")
    with lock(tmp_path, "another", "another"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {".theirs.lock", ".held.lock", "other"}
    free.set()
    living.join()


def test_a_child_of_a_killed_holder_does_not_keep_its_lock(tmp_path):
    told = FORK.Queue()
    process = FORK.Process(target=_hold_and_fork, args=(tmp_path, told))
    process.start()
    child = told.get(timeout=30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    os.kill(child, 0)  # lives
    begin = time.monotonic()
    with lock(tmp_path, "thing", "a thing"):
        assert time.monotonic() - begin < 1
    os.kill(child, signal.SIGKILL)


def _hold_and_fork(folder: Path, told) -> None:
    with lock(folder, "thing", "a thing"):
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        told.put(child)
        time.sleep(30)


@pytest.mark.parametrize("code", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_said_once(tmp_path, monkeypatch, caplog, code):
    number = getattr(errno, code)

    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", refused)
    for name in ("one", "two"):
        with lock(tmp_path, name, "a thing") as alone:
            assert not alone
    [line] = caplog.messages
    assert "has no locks" in line and str(tmp_path) in line
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="cannot write .*file"),
        lock(tmp_path / "file" / "below", "a", "a thing"),
    ):
        pass
