"""No logging."""

from unlearn.tracking.base import RunLogger


class NoLogger(RunLogger):
    """Logs nothing: everything is in the run's record."""
