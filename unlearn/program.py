"""Runs a program's work under Hydra: one line for a user's mistake, a traceback only for ours."""

import logging
import sys
from collections.abc import Callable
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from unlearn.errors import UserError
from unlearn.setup import Job


def run(work: Callable[[Job], dict[str, Any]], config: DictConfig) -> dict[str, Any]:
    """Do the work of one job.

    Returns:
        What the work returns.

    Raises:
        SystemExit: with status 2 after a user's mistake, when this is the only job.
    """
    hydra = HydraConfig.get()
    job = Job(
        config,
        {str(group): str(choice) for group, choice in hydra.runtime.choices.items()},
        tuple(hydra.overrides.task),
    )
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        return work(job)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        if hydra.mode == RunMode.MULTIRUN:
            raise
        raise SystemExit(2) from None
