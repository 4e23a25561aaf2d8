"""Values that a user has to bring: settings whose YAML is null and whose type is not."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import yaml
from safetensors.torch import save_file
from support.compose import CONF, compose_job

from unlearn.programs.composing import problem_of


def weight_files(home: Path) -> str:
    """Weights of four networks of the default problem, as a pattern."""
    folder = home / "given"
    if not folder.exists():
        folder.mkdir(parents=True)
        problem = problem_of(compose_job("logger=none", home=home))
        for seed in range(4):
            save_file(problem.fresh_network(seed).state_dict(), folder / f"{seed}.safetensors")
    return f"{folder}/*.safetensors"


# What a setting of this name is, wherever it is asked for.
BRINGS: dict[str, Callable[[Path], str]] = {"files": weight_files}


def required(group: str, name: str) -> list[str]:
    """Settings of a config that have no default: null in YAML, and not None in the signature."""
    values = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    module, _, target = values["_target_"].rpartition(".")
    hints = get_type_hints(getattr(importlib.import_module(module), target).__init__)
    return [
        key
        for key, value in values.items()
        if value is None and key in hints and type(None) not in getattr(hints[key], "__args__", ())
    ]


def given_values(group: str, name: str, home: Path) -> list[str]:
    """Overrides that give every such setting a value."""
    return [f"{group}.{key}='{BRINGS[key](home)}'" for key in required(group, name)]
