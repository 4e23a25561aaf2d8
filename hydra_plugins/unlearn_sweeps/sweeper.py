"""Hydra's basic sweeper with a line of progress, a summary and an exit status.

Hydra finds this package by its place: `hydra_plugins` beside the scripts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import filter_overrides
from omegaconf import OmegaConf

from hydra_plugins.unlearn_sweeps.composing import ComposedAhead


class StudySweeper(BasicSweeper):
    """Runs every combination. A job that fails stops no other; the summary names it."""

    def sweep(self, arguments: list[str]) -> Any:
        from unlearn.errors import UserError
        from unlearn.programs.console import say
        from unlearn.programs.sweeps import Sweep

        assert self.hydra_context is not None
        assert self.config is not None and self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        batches = self.split_arguments(overrides, self.max_batch_size)
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        # Every job is composed before the first one runs, so that a mistake shows at once.
        composed = ComposedAhead(self.hydra_context.config_loader)
        self.hydra_context.config_loader = composed  # type: ignore[assignment]
        for batch in batches:
            for job in batch:
                composed.compose(self.config, job)
        labels = what_differs([filter_overrides(job) for batch in batches for job in batch])
        first = 0
        sweep = Sweep(folder, labels)
        try:
            with sweep:
                for batch in batches:
                    self.launcher.launch(batch, initial_job_idx=first)
                    first += len(batch)
        except KeyboardInterrupt:
            sweep.close()
            raise
        except UserError as error:
            say(f"error: {error}")
            raise SystemExit(2) from None
        status = sweep.close()
        if status:
            raise SystemExit(status)


def what_differs(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The overrides of each job that not all jobs share; all of them where there is one job."""
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return [" ".join(word for word in job if word not in shared) for job in jobs]
