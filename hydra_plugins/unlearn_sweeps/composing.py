"""Configs of a sweep's jobs, composed ahead, and once for all that differ in plain values only."""

import copy
from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


class ComposedAhead:
    """A config loader that hands a config composed ahead to the job that asks for it.

    Composing reads two dozen files and takes a tenth of a second; jobs that differ only in values
    such as the seed share it. Pickled, it is the plain loader: workers and other machines compose
    for themselves.
    """

    def __init__(self, loader: ConfigLoader):
        self.loader = loader
        self.ready: dict[tuple[str, ...], DictConfig] = {}
        self.shared: dict[tuple[str, ...], DictConfig] = {}
        self.is_group: dict[str, bool] = {}

    def compose(self, master_config: DictConfig, overrides: Sequence[str]) -> None:
        """Compose a job's config.

        Raises:
            ConfigCompositionException: an override is wrong; Hydra's own message.
        """
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        values = [override for override in parsed if self._sets_a_value(override)]
        lines = {id(override): line for override, line in zip(parsed, overrides, strict=True)}
        rest = tuple(lines[id(override)] for override in parsed if override not in values)
        try:
            if rest not in self.shared:
                self.shared[rest] = self.loader.load_sweep_config(master_config, list(rest))
            config = copy.deepcopy(self.shared[rest])
            for override in values:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except (OmegaConfBaseException, ConfigCompositionException):
            # A choice may depend on the value, and mistakes deserve Hydra's own words.
            config = self.loader.load_sweep_config(master_config, list(overrides))
        else:
            task = [o for o in overrides if not o.startswith("hydra.")]
            config.hydra.overrides.task = task
            config.hydra.job.override_dirname = ",".join(sorted(task))
        self.ready[tuple(overrides)] = config

    def _sets_a_value(self, override: Override) -> bool:
        """Whether it is a plain `key=value` of a key that decides nothing else."""
        key = override.key_or_group
        if key not in self.is_group:
            self.is_group[key] = bool(self.loader.get_group_options(key, results_filter=None))
        plain = override.type is not None and override.type.name == "CHANGE"
        return plain and override.package is None and "." not in key and not self.is_group[key]

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The config composed ahead, else a new one."""
        config = self.ready.pop(tuple(sweep_overrides), None)
        return config or self.loader.load_sweep_config(master_config, sweep_overrides)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def __reduce__(self) -> Any:
        return _same, (self.loader,)


def _same(loader: ConfigLoader) -> ConfigLoader:
    return loader
