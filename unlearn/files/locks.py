"""Locks that save work: of several processes that want one thing, one makes it, the others wait.

Correctness never rests on them. What is published is renamed into place whole, so a file system
without working locks costs work done twice and nothing else.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unlearn.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0  # shorter waits are not worth a line
REMINDER_SECONDS = 600.0
LONGEST_PAUSE = 0.5  # seconds between two looks at a lock that another process holds
MOST_LOOKS = 50  # at the name of a lock that is ours; some file systems number files anew each time

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)

_descriptors: set[int] = set()
_swept: set[Path] = set()
_told: set[str] = set()


@contextmanager
def lock(folder: Path, name: str, what: str) -> Iterator[bool]:
    """Hold a lock; the system releases it when its holder dies.

    A process that waits says so in one line, and seldom again.

    Args:
        folder: made where it is missing.
        name: of the lock in its folder; the file is hidden and removed on release.
        what: that is made under the lock, for the line that says what is waited for.

    Yields:
        Whether nobody else holds the lock; false where the file system has none.

    Raises:
        UserError: the folder cannot be written.
    """
    path = folder / f".{name}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(path, what)
    except OSError as error:
        raise UserError(
            f"cannot write {folder}: {error.strerror or error}; mend that or choose another folder "
            "with paths"
        ) from error
    if descriptor is None:
        yield False
        return
    owner = os.getpid()
    _descriptors.add(descriptor)
    try:
        _sweep(folder)
        yield True
    finally:
        if os.getpid() == owner:  # a forked child has closed its copy
            _descriptors.discard(descriptor)
            with suppress(OSError):
                path.unlink()
            os.close(descriptor)


def _acquire(path: Path, what: str) -> int | None:
    """A descriptor of the locked file, None where the file system has no locks."""
    begin, told, pause, looks = time.monotonic(), -REMINDER_SECONDS, 0.01, 0
    while True:
        descriptor = _opened(path)
        try:
            if _try(descriptor):
                looks += 1
                if _is_still(path, descriptor) or looks > MOST_LOOKS:
                    _sign(descriptor)
                    return descriptor
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            if "no locks" not in _told:
                _told.add("no locks")
                log.warning(
                    "the file system of %s has no locks (%s): processes at once may do the same "
                    "work twice; results stay whole",
                    path.parent,
                    error.strerror,
                )
            return None
        waited = time.monotonic() - begin
        if waited >= PATIENCE_SECONDS and waited - told >= REMINDER_SECONDS:
            still = "" if told < 0 else f", {waited / 60:.0f} minutes by now"
            told = waited
            log.info("waiting for %s%s%s", what, _holder(descriptor), still)
        os.close(descriptor)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:  # another user's, who lets the group read
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _try(descriptor: int) -> bool:
    """Take the lock if nobody has it."""
    if fcntl is None:
        raise OSError(errno.ENOSYS, "this system has no flock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the locked file still has its name: the holder before removed it on release."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    with suppress(OSError):  # opened for reading only
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)


def _holder(descriptor: int) -> str:
    """Who holds a lock, empty where that is not known."""
    words = _signature(descriptor)
    return f": process {words[0]} on {words[1]} is at it" if words else ""


def _signature(descriptor: int) -> list[str]:
    try:
        words = os.pread(descriptor, 300, 0).decode().split()
    except (OSError, ValueError):
        return []
    return words if len(words) == 2 and words[0].isdigit() else []


def _sweep(folder: Path) -> None:
    """Remove the locks that killed processes left in a folder; once a process."""
    if folder in _swept:
        return
    _swept.add(folder)
    for path in folder.glob(".*.lock"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                ours = os.fstat(descriptor).st_size == 0 or _signature(descriptor)
                if ours and _try(descriptor) and _is_still(path, descriptor):
                    path.unlink()
            finally:
                os.close(descriptor)


def _close_inherited() -> None:
    """A forked child, as a worker that loads data, must not keep a lock of a parent that died."""
    for descriptor in _descriptors:
        with suppress(OSError):
            os.close(descriptor)
    _descriptors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
