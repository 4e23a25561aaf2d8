"""Errors that a user can mend."""


class UserError(Exception):
    """A mistake in what the user asked for: one line saying what, where and how to mend it.

    The programs print it without a traceback and exit with status 2.
    """


class UnsupportedProblem(UserError):
    """The method is not made for this problem. A sweep over all methods counts it as refused."""
