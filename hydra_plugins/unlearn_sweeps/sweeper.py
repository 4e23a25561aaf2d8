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

GROUPS = ("dataset", "model", "forget", "recipe")  # what a problem is made of
NAMED = 3  # comparisons that are named at the end of a sweep


class StudySweeper(BasicSweeper):
    """Runs every combination. A job that fails stops no other; the summary names it."""

    def sweep(self, arguments: list[str]) -> Any:
        from unlearn.errors import UserError
        from unlearn.programs.console import say
        from unlearn.programs.sweeps import Sweep
        from unlearn.training import stopping

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
        comparisons: dict[str, None] = {}
        for batch in batches:
            for job in batch:
                composed.compose(self.config, job)
                config = composed.ready[tuple(job)]
                if "method" in config:
                    comparisons[comparison_of(config, job)] = None
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
        except BaseException:
            stopping.check()  # workers that were stopped too may be heard of first
            raise
        status = sweep.close()
        for line in list(comparisons)[:NAMED]:
            say(f"to compare them: {line}")
        if status:
            raise SystemExit(status)


def comparison_of(config: Any, overrides: Sequence[str]) -> str:
    """The command that compares the runs of a job's problem."""
    from unlearn.errors import program
    from unlearn.programs.job import PROBLEM

    chosen = config.hydra.runtime.choices
    groups = [f"{group}={chosen[group]}" for group in GROUPS]
    values = [
        word
        for word in overrides
        if word.lstrip("+~").split("=")[0].split(".")[0] in PROBLEM
        and word.split("=")[0] not in GROUPS
        and not word.startswith("references.missing=")
    ]
    return " ".join([program("evaluate"), *groups, *(f"'{v}'" if " " in v else v for v in values)])


def what_differs(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The overrides of each job that not all jobs share; all of them where there is one job."""
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    return [" ".join(word for word in job if word not in shared) for job in jobs]
