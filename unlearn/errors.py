"""Errors that a user can mend, and how the commands are called that mend them."""

from pathlib import Path

INSTALLED = (Path(__file__).parent / "conf").is_dir()
PROGRAMS = {"train": "unlearn-train", "unlearn": "unlearn-run", "evaluate": "unlearn-evaluate"}


class UserError(Exception):
    """A mistake in what the user asked for: one line saying what, where and how to mend it.

    The programs print it without a traceback and exit with status 2.
    """


class UnsupportedProblem(UserError):
    """The method is not made for this problem. A sweep over all methods counts it as refused."""


def program(name: str) -> str:
    """How a user of this copy starts `train`, `unlearn` or `evaluate`: a checkout has scripts."""
    return PROGRAMS[name] if INSTALLED else f"python {name}.py"
