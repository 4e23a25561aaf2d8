"""The terminal's error stream, where progress goes. Imports nothing heavy."""

import os
import sys

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
