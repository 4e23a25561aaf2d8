"""OmegaConf resolvers with which the configs look at their own groups.

`${tuned:METHOD,DATASET,MODEL,FORGET}` is the file of the group `tuned` that names a problem.
`${for_model:MODEL,USUAL,{MODEL:OTHER,...}}` is what a dataset chooses for a model, such as a
recipe that trains it. For `--help`, `${choices:CHOSEN}` lists the groups and `${program:NAME}` is
how a program is started.

Hydra imports `hydra_plugins` before it composes anything: in the programs, in tests, and in every
process of a sweep. Both look through Hydra's search path, so a folder of one's own (`--config-dir`)
adds files.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from unlearn.errors import UserError, program

NOTHING = "none"  # an option that there is not: the defaults list calls the group optional
COLUMNS = 80


def tuned(method: str | None, dataset: str, model: str, forget: str) -> str:
    """The option of `tuned` with a method's values for a problem.

    One file applies: that which names dataset, model and forget set, else that which names dataset
    and model.

    Returns:
        Such as `ssd/digits_small_cnn`; "none" where no file names the problem.

    Raises:
        UserError: two files of the method name the problem.
    """
    files = named_by_files(f"tuned/{method}")
    for problem in (f"{dataset}_{model}_{forget}", f"{dataset}_{model}"):
        found = [name for name, problems in files.items() if problem in problems]
        if len(found) > 1:
            raise UserError(
                f"tuned/{method}: {' and '.join(sorted(found))} both name the problem {problem}: "
                f"take it out of one, or choose with tuned={method}/{found[0]}"
            )
        if found:
            return f"{method}/{found[0]}"
    return NOTHING


def named_by_files(group: str) -> dict[str, list[str]]:
    """The problems that each file of a folder of `tuned` names, by the file's name.

    Raises:
        UserError: two folders of the search path have a file of one name.
    """
    found: dict[str, list[str]] = {}
    for source in GlobalHydra.instance().config_loader().get_sources():
        if not source.available() or not source.is_group(group):
            continue
        for name in source.list(group, ObjectType.CONFIG):
            if name in found:  # Hydra would read the first and say nothing
                raise UserError(
                    f"{group}/{name}.yaml is in two folders: rename yours, and choose it with "
                    f"{group.replace('/', '=', 1)}/NAME"
                )
            config: Any = source.load_config(f"{group}/{name}").config
            found[name] = list(OmegaConf.select(config, "tuned.problems") or ())
    return found


def for_model(model: str, usual: str, others: Mapping[str, str]) -> str:
    """A dataset's option for a model: its own among `others`, else the usual one."""
    return others.get(model, usual)


def choices(chosen: Mapping[str, Any]) -> str:
    """The groups that a program chooses from, with their options, as wide as a terminal.

    Empty when Hydra has gone: a composed config outlives it, and then nobody asks for help.
    """
    if not GlobalHydra.instance().is_initialized():
        return ""
    loader = GlobalHydra.instance().config_loader()
    groups = sorted(group for group in chosen if "/" not in group and group != "tuned")
    lines = [f"{group}: {', '.join(loader.get_group_options(group))}" for group in groups]
    return "\n".join(textwrap.fill(line, COLUMNS, subsequent_indent="  ") for line in lines)


OmegaConf.register_new_resolver("tuned", tuned, replace=True)
OmegaConf.register_new_resolver("for_model", for_model, replace=True)
OmegaConf.register_new_resolver("choices", choices, replace=True)
OmegaConf.register_new_resolver("program", program, replace=True)
