"""Methods and evaluations by the names of the configs that come with the project."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from unlearn.comparison.given import originals_of
from unlearn.comparison.groups import Group
from unlearn.comparison.yardstick import Yardstick
from unlearn.errors import UserError
from unlearn.evals.base import Evaluation
from unlearn.problem import UnlearningProblem
from unlearn.programs.composing import evaluations_of
from unlearn.programs.folders import shipped
from unlearn.programs.job import Job

log = logging.getLogger(__name__)

CONF = shipped("conf")

Chosen = str | Sequence[str] | Mapping[str, Any]


@dataclass(frozen=True)
class ChosenEvaluations:
    """Evaluations that somebody asked for.

    Attributes:
        evaluations: by name.
        configs: by name.
    """

    evaluations: Mapping[str, Evaluation]
    configs: Mapping[str, Any]

    @classmethod
    def of(
        cls, problem: UnlearningProblem, chosen: Chosen, networks: bool = True
    ) -> ChosenEvaluations:
        """Build them, and find out now what would fail after minutes of work.

        Args:
            problem: splits and task.
            chosen: names of presets or evaluations, or settings by name.
            networks: whether there are networks; evaluations that need one are left out else.

        Raises:
            UserError: an evaluation that there is not, that the task does not have, or that needs
                a fresh network where none can be made.
        """
        configs = _evaluations(chosen)
        names = chosen if isinstance(chosen, str) else ",".join(chosen)
        built = evaluations_of(Job({"eval": configs}, {"eval": names}), problem)
        if not networks:
            lacking = [n for n, e in built.items() if e.uses_network or e.fresh_network]
            built = {name: e for name, e in built.items() if name not in lacking}
            if lacking:
                log.info("no networks, so left out: %s", ", ".join(lacking))
        if not built:
            raise UserError("eval: nothing is left of what was asked for; name another evaluation")
        if any(evaluation.fresh_network for evaluation in built.values()):
            problem.fresh_network(0)
        return cls(built, configs)

    def yardstick(
        self, problem: UnlearningProblem, groups: Sequence[Group], retain_examples: int | None
    ) -> Yardstick:
        """The evaluations with given retrained and original models to measure by."""
        return Yardstick(
            problem,
            self.evaluations,
            {name: [self.configs[name], retain_examples] for name in self.evaluations},
            [member for group in groups if group.kind == "retrained" for member in group.members],
            originals_of(next((group for group in groups if group.kind == "do-nothing"), None)),
        )


def _evaluations(chosen: Chosen) -> dict[str, dict[str, Any]]:
    """Configs by name; presets are spelt out."""
    if isinstance(chosen, str):
        chosen = [chosen]
    settings = chosen if isinstance(chosen, Mapping) else dict.fromkeys(chosen)
    configs: dict[str, dict[str, Any]] = {}
    for name, own in settings.items():
        if isinstance(own, Mapping) and "_target_" in own:  # an evaluation of the user's
            configs[name] = dict(own)
            continue
        loaded = shipped_config("eval", name)
        if "defaults" in loaded:
            configs.update(_evaluations(loaded["defaults"]))
        else:
            configs[name] = {**loaded, **(own or {})}
    if not configs:
        raise UserError("eval: name at least one evaluation, such as eval='standard'")
    return configs


def shipped_config(group: str, name: Any) -> dict[str, Any]:
    """A config file that comes with the project, by group and name.

    Raises:
        UserError: there is none of this name; lists those there are.
    """
    path = CONF / group / f"{name}.yaml"
    if not isinstance(name, str) or not path.is_file():
        known = ", ".join(sorted(file.stem for file in (CONF / group).glob("*.yaml")))
        raise UserError(f"unknown {group} {name!r}; there are {known}")
    loaded = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}
