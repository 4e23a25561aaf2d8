"""A store and runs that two users of one group share: two user ids, one setgid folder."""

import multiprocessing
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.records import document, outputs

from unlearn.errors import UserError
from unlearn.files.locks import lock
from unlearn.storage.records import heal, read_record, write_record
from unlearn.storage.store import Address, Store

FORK = multiprocessing.get_context("fork")
GROUP, ONE, OTHER = 54321, 54322, 54323
ADDRESS = Address("original", "net", {"what": "a test"})

pytestmark = pytest.mark.skipif(
    not hasattr(os, "setuid") or os.geteuid() != 0, reason="only root can become two users"
)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of the group, where pytest's own, which only root may enter, is not above."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    ours = folder / "shared"
    ours.mkdir()
    os.chown(ours, -1, GROUP)
    ours.chmod(0o2775)
    yield ours
    shutil.rmtree(folder)


def as_user(user: int, work: Callable[[], object], umask: int = 0o002) -> object:
    """What the work returns, or the text of a `UserError`, in a process of that user."""
    answers = FORK.Queue()

    def child() -> None:
        os.setgroups([GROUP])
        os.setgid(GROUP)
        os.setuid(user)
        os.umask(umask)
        try:
            answers.put(work())
        except UserError as error:
            answers.put(f"UserError: {error}")
        except BaseException as error:
            answers.put(f"{type(error).__name__}: {error}")

    process = FORK.Process(target=child)
    process.start()
    answer = answers.get(timeout=60)
    process.join()
    return answer


def ask(root: Path, made: str) -> Callable[[], object]:
    """Ask for an entry; says who made it."""

    def work() -> object:
        weights = {"weight": torch.ones(3)}
        return Store(root).get_or_make(ADDRESS, lambda: (weights, {"by": made})).meta["by"]

    return work


def test_what_one_user_trained_the_other_uses(shared):
    assert as_user(ONE, ask(shared, "one")) == "one"
    assert as_user(OTHER, ask(shared, "other")) == "one"
    for path in shared.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert path.stat().st_gid == GROUP, path
        assert mode == (0o2775 if path.is_dir() else 0o664), path


def test_either_user_mends_what_is_damaged(shared):
    as_user(ONE, ask(shared, "one"))
    [file] = shared.glob("original/*/tensors.safetensors")
    file.write_bytes(b"damaged")
    assert as_user(OTHER, ask(shared, "other")) == "other"
    assert as_user(ONE, ask(shared, "one")) == "other"
    assert not list(shared.glob("original/.*"))


def test_what_a_user_may_not_read_is_one_line_and_stays(shared):
    as_user(ONE, ask(shared, "one"))
    [folder] = shared.glob("original/*")
    before = {path: path.stat().st_ino for path in shared.rglob("*")}
    for path in (folder / "tensors.safetensors", folder, folder.parent):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(0)
        told = as_user(OTHER, ask(shared, "other"))
        assert str(told).startswith("UserError: cannot read") and "Permission denied" in str(told)
        assert "\n" not in str(told)
        path.chmod(mode)
        assert {path: path.stat().st_ino for path in shared.rglob("*")} == before
    assert as_user(OTHER, ask(shared, "other")) == "one"


def test_a_group_that_may_only_read_uses_and_does_not_write(shared):
    as_user(ONE, ask(shared, "one"), umask=0o022)
    assert as_user(OTHER, ask(shared, "other")) == "one"
    [file] = shared.glob("original/*/meta.json")
    file.write_bytes(b"damaged")
    told = as_user(OTHER, ask(shared, "other"))
    assert str(told).startswith("UserError: cannot write") and "\n" not in str(told)


def test_numbers_that_cannot_be_kept_are_no_error(shared):
    as_user(ONE, ask(shared, "one"), umask=0o022)

    def keep() -> object:
        store = Store(shared)
        for number in range(2):
            store.keep(Address("original", "net", {"number": number}), ({}, {}))
        return len(list((shared / "original").iterdir()))

    assert as_user(OTHER, keep) == 1


def test_runs_are_replaced_and_locked_by_either_user(shared):
    folder = shared / "problem" / "method" / "original0_seed0"

    def run(seed: int) -> Callable[[], object]:
        def work() -> object:
            with lock(folder.parent, folder.name, "a run") as alone:
                heal(folder, alone)
                write_record(folder, document(folder, seed=seed), outputs(1.0), None)
            return read_record(folder).document["seed"]

        return work

    assert as_user(ONE, run(1)) == 1
    lock_file = folder.parent / f".{folder.name}.lock"
    lock_file.touch(0o600)  # of a killed process with another umask
    os.chown(lock_file, ONE, GROUP)
    lock_file.chmod(0o644)
    assert as_user(OTHER, run(2)) == 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    folder.chmod(0o2700)
    told = as_user(ONE, lambda: read_record(folder).document["seed"])
    assert str(told).startswith("UserError: cannot read")
    folder.chmod(0o2775)
    assert as_user(ONE, run(3)) == 3
