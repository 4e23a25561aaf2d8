"""Folders that are there whole or not at all, through kills and power cuts.

A folder is written aside, flushed to the disk and renamed into place. What lies aside is called
`.<name>.<word>.<who>`: `writing` is unfinished; `new` is whole and about to take its place, `old`
has made room for it; `damaged` was found so. `who` is the process that wrote it: what lies aside
is touched by others when that process is dead, or after a day. Locks may reach no further than one
machine: nothing that another has just written is removed because a lock is held.
"""

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

STALE_SECONDS = 24 * 3600.0
SPARED_SECONDS = 15 * 60.0
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
NO_SUCH = (errno.ENOENT, errno.ENOTDIR)

Word = Literal["writing", "new", "old", "damaged"]
Ours = Callable[[Path], Collection[str]]  # names of the files of a folder that may be removed
ASIDE = re.compile(r"\.(?P<name>.+)\.(?P<word>writing|new|old|damaged)\.(?P<who>[\w-]+)")
WHO = re.compile(r"(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}")


def aside_of(folder: Path, word: Word) -> Path:
    """A new name beside a folder, of this process."""
    return (
        folder.parent / f".{folder.name}.{word}.{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    )


@cache
def _machine() -> str:
    """Within one machine since it was started, and one container of it, numbers name processes."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def is_folder(path: Path) -> bool:
    """Whether there is a folder.

    Raises:
        OSError: that cannot be told, as where the folder above may not be read.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        if error.errno in NO_SUCH:
            return False
        raise


def write_file(path: Path, data: bytes) -> None:
    """Write a file and flush it to the disk; its mode is the umask's."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Flush a folder's files and names to the disk."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    flush_folder(folder)


def place(aside: Path, folder: Path) -> bool:
    """Rename what was written aside to a folder that nothing else is at.

    Returns:
        False where another process was faster: then its folder stays.
    """
    flush_folder(aside)
    try:
        aside.rename(folder)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        raise
    flush_folder(folder.parent)
    return True


def replace(aside: Path, folder: Path, ours: Ours) -> None:
    """Put what was written aside in a folder's place; what others put into that folder stays.

    Args:
        aside: written whole.
        folder: may be there or not.
        ours: tells which files of a folder may be replaced or removed.
    """
    fresh = aside_of(folder, "new")
    flush_folder(aside)
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode != stat.S_IMODE(aside.stat().st_mode):
            with suppress(PermissionError):
                aside.chmod(mode)
    aside.rename(fresh)
    while True:
        old = aside_of(folder, "old")
        with suppress(FileNotFoundError):
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError as error:
            if error.errno in TAKEN:  # another process placed its own meanwhile
                continue
            if error.errno == errno.ENOENT and is_folder(folder):
                break  # another machine took this process for dead and placed it
            raise
        break
    flush_folder(folder.parent)
    for path in list(_beside(folder, "old")):
        if path == old:
            _retire(path, folder, ours)


def heal(folder: Path, ours: Ours, alone: bool = False) -> None:
    """Finish what a killed process began at a folder: nothing that was whole is lost.

    Args:
        folder: may be there or not.
        ours: tells which files of a folder may be removed.
        alone: its lock is held, so that no other process of this machine writes this folder now;
            what another machine left may still be written, and lies for a quarter of an hour. Else
            what a living process of this or another machine left lies for a day.
    """
    left = [path for path in _beside(folder) if alone or _is_stale(path)]
    for word in ("new", "old"):
        for path in left:
            if _word(path) == word and not is_folder(folder):
                with suppress(OSError):  # another process heals it too, or it is not ours to move
                    path.rename(folder)
    for path in left:
        if _may_be_written_elsewhere(path):
            continue
        match _word(path):
            case "writing":
                shutil.rmtree(path, ignore_errors=True)
            case "old" if not is_folder(folder):
                pass
            case _:
                _retire(path, folder, ours)


def drop(aside: Path) -> None:
    """Remove what this process wrote aside, if it is still there."""
    shutil.rmtree(aside, ignore_errors=True)


def clean(parent: Path) -> None:
    """Remove what killed processes left unfinished in a folder, files and folders."""
    with suppress(OSError):
        for path in sorted(parent.glob(".*.writing.*")):
            if ASIDE.fullmatch(path.name) and _is_stale(path):
                if is_folder(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def discard(folder: Path, ours: Ours) -> Path | None:
    """Take a damaged folder away.

    Returns:
        Where its files lie that are not ours, None where there are none.
    """
    away = aside_of(folder, "damaged")
    try:
        folder.rename(away)
    except FileNotFoundError:
        return None  # another process was faster
    return away if _remove(away, ours) else None


def _retire(path: Path, folder: Path, ours: Ours) -> None:
    """Remove a folder that another took the place of; files that are not ours move over."""
    with suppress(OSError):
        known = ours(path)
        for file in sorted(path.iterdir()):
            if file.name not in known and not os.path.lexists(folder / file.name):
                file.rename(folder / file.name)
        _remove(path, ours)


def _remove(path: Path, ours: Ours) -> bool:
    """Remove our files of a folder, and the folder if nothing is left; whether something is."""
    for name in ours(path):
        with suppress(OSError):
            (path / name).unlink()
    try:
        path.rmdir()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _beside(folder: Path, word: str = "*") -> Iterator[Path]:
    with suppress(OSError):
        for path in sorted(folder.parent.iterdir()):
            found = ASIDE.fullmatch(path.name)
            if found and found["name"] == folder.name and word in ("*", found["word"]):
                yield path


def name_of(aside: Path) -> str:
    """Of what lies aside, the name of the folder that it is about; empty for anything else."""
    found = ASIDE.fullmatch(aside.name)
    return found["name"] if found else ""


def _word(path: Path) -> str:
    found = ASIDE.fullmatch(path.name)
    return found["word"] if found else ""


def _who(path: Path) -> re.Match[str] | None:
    found = ASIDE.fullmatch(path.name)
    return WHO.fullmatch(found["who"]) if found else None


def _may_be_written_elsewhere(path: Path) -> bool:
    """Whether another machine wrote this, and not long ago."""
    who = _who(path)
    return who is not None and who["machine"] != _machine() and _age(path) <= SPARED_SECONDS


def _is_stale(path: Path) -> bool:
    """Whether the process that wrote this is dead, or must be by now."""
    who = _who(path)
    if who is None:
        return False
    if who["machine"] == _machine() and not _lives(int(who["process"])):
        return True
    return _age(path) > STALE_SECONDS


def _age(path: Path) -> float:
    """Seconds since this was written to or renamed, 0 where it is gone."""
    try:
        return time.time() - path.stat().st_ctime
    except OSError:
        return 0.0


def _lives(process: int) -> bool:
    if os.name == "nt":  # where the question would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
