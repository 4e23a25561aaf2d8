"""Methods and evaluations by the names of the configs that come with the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from unlearn.comparison.given import originals_of
from unlearn.comparison.groups import Group
from unlearn.comparison.yardstick import Yardstick
from unlearn.errors import UserError
from unlearn.problem import UnlearningProblem
from unlearn.programs.folders import shipped
from unlearn.programs.job import Job
from unlearn.programs.plan import evaluations_of

CONF = shipped("conf")

Chosen = str | Sequence[str] | Mapping[str, Any]


def yardstick_of(
    problem: UnlearningProblem, chosen: Chosen, groups: Sequence[Group], retain_examples: int | None
) -> Yardstick:
    """Chosen evaluations, with given retrained and original models to measure by.

    Args:
        problem: splits and task.
        chosen: names of presets or evaluations, or settings by name.
        groups: the models of a comparison.
        retain_examples: size of the retain sample.

    Raises:
        UserError: an evaluation that there is not, or that the task does not have.
    """
    configs = _evaluations(chosen)
    names = ",".join(chosen) if not isinstance(chosen, str) else chosen
    evaluations = evaluations_of(Job({"eval": configs}, {"eval": names}), problem)
    return Yardstick(
        problem,
        evaluations,
        {name: [configs[name], retain_examples] for name in evaluations},
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
