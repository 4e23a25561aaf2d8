"""Errors that a user can mend."""


class UserError(Exception):
    """A mistake in what the user asked for: one line saying what, where and how to mend it.

    The programs print it without a traceback and exit with status 2.
    """
