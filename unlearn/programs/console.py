"""The terminal's error stream: progress, and what the package logs. Imports nothing heavy."""

import logging
import os
import sys
from functools import cache

from rich.console import Console

# Of several processes that train one model together, one speaks.
console = Console(stderr=True, quiet=os.environ.get("SLURM_PROCID", "0") != "0")
QUIET_SECONDS = 60.0


def is_live() -> bool:
    """Whether a person is watching; else a line a minute is enough."""
    return sys.stderr.isatty()


def say(text: str) -> None:
    """One line to the terminal's error stream."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)


@cache
def say_once(text: str) -> None:
    """`say`, but not again in this process."""
    say(text)


class _Spoken(logging.Handler):
    """What modules log is said: a line each, without levels and names."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


@cache
def show_messages() -> None:
    """From now on, messages of the package are shown, and no longer passed on to others."""
    log = logging.getLogger("unlearn")
    log.addHandler(_Spoken())
    log.setLevel(logging.INFO)
    log.propagate = False
