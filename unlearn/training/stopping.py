"""Being asked to stop: by Ctrl-C, by SIGTERM, by a cluster that wants its machine back.

A training that runs ends at its next step, so that it can keep a checkpoint; anything else ends at
once, and so does a training that is asked twice.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

INTERRUPTED = 128 + signal.SIGINT  # what shells call an end by a signal
TERMINATED = 128 + signal.SIGTERM
LOOK_SECONDS = 1.0  # between two looks at whether the parent lives
LAST_SECONDS = 20.0  # that a worker has to end by itself when it does not


class Terminated(KeyboardInterrupt):
    """The system asked this process to end. Treated like Ctrl-C, with a status of its own."""


class _Asked:
    """What this process was asked for."""

    error: type[KeyboardInterrupt] | None = None
    then: Callable[[], Any] | None = None
    trainings = 0
    handlers: ClassVar[dict[int, Callable[[int, Any], None]]] = {}


def listen() -> None:
    """Take SIGTERM and Ctrl-C, and in a SLURM job the notice that comes before its end.

    Asked for again, nothing changes. Only the main thread can listen.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number, error in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)):
        _Asked.handlers[number] = _handler(error)
    if in_cluster():
        # submitit's own handler requeues the job; it gets its turn once a checkpoint is kept.
        name = "SIG" + os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2")
        requeue = signal.getsignal(getattr(signal, name))
        for notice in {getattr(signal, name), signal.SIGUSR1}:
            if callable(requeue) and requeue not in _Asked.handlers.values():
                _Asked.handlers[notice] = _handler(Terminated, requeue)
    listen_again()


def listen_again() -> None:
    """Take the signals back from who took them meanwhile: Lightning takes SIGTERM for every fit,
    ends at its next step without a word, and says that all is well."""
    if threading.current_thread() is threading.main_thread():
        for number, handler in _Asked.handlers.items():
            signal.signal(number, handler)


def _handler(
    error: type[KeyboardInterrupt], requeue: Callable[[int, Any], Any] | None = None
) -> Callable[[int, Any], None]:
    def handle(number: int, frame: Any) -> None:
        again = _Asked.error is not None
        _Asked.error = error
        if requeue is not None:
            _Asked.then = lambda: requeue(number, frame)
        if again or not _Asked.trainings:
            raise error

    return handle


def asked() -> bool:
    """Whether a training should end at this step."""
    return _Asked.error is not None


def check() -> None:
    """End here if that was asked for.

    Raises:
        KeyboardInterrupt: or its kind `Terminated`.
    """
    if _Asked.error is not None:
        raise _Asked.error


@contextmanager
def at_steps() -> Iterator[None]:
    """While this runs, who wants to stop it waits for the next step, which looks at `asked`."""
    _Asked.trainings += 1
    try:
        yield
    finally:
        _Asked.trainings -= 1
    if not _Asked.trainings:
        check()


def in_cluster() -> bool:
    """Whether submitit runs this process as a SLURM job."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def deaf() -> None:
    """Hear no more signals: this process is ending, and is to end in peace."""
    if threading.current_thread() is threading.main_thread():
        for number in _Asked.handlers:
            signal.signal(number, signal.SIG_IGN)


def leave_cluster() -> None:
    """What a SLURM job does once it has stopped: after a notice, it goes back into the queue; after
    SIGTERM, SLURM has decided what becomes of it, and no result may say that it is over."""
    if not in_cluster():
        return
    deaf()
    if _Asked.then is not None:
        _Asked.then()
    sys.stderr.flush()
    os._exit(TERMINATED)


@cache
def end_with_parent() -> None:
    """From now on a worker process ends when the process that started it is gone, however that
    ended: a thread looks once a second whether the parent is still the same. (Linux could send a
    signal instead, but does so too when only the thread ends that started the worker.)"""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_SECONDS)
        os._exit(TERMINATED)

    threading.Thread(target=watch, daemon=True).start()
