"""The programs as scripts of a checkout and as commands of an installation call them.

Nothing heavy is imported before Hydra has read the command line: `--help` answers at once.
"""

import sys
from itertools import pairwise
from pathlib import Path

import hydra
from omegaconf import DictConfig

from unlearn.programs.commandline import start
from unlearn.programs.folders import shipped

CONF = str(shipped("conf"))


@hydra.main(version_base="1.3", config_path=CONF, config_name="train")
def _train(config: DictConfig) -> dict:
    from unlearn.programs import job
    from unlearn.programs.train import train

    return job.run(train, config)


@hydra.main(version_base="1.3", config_path=CONF, config_name="unlearn")
def _unlearn(config: DictConfig) -> dict:
    from unlearn.programs import job
    from unlearn.programs.unlearn import unlearn

    return job.run(unlearn, config)


@hydra.main(version_base="1.3", config_path=CONF, config_name="evaluate")
def _evaluate(config: DictConfig) -> dict:
    from unlearn.programs import job
    from unlearn.programs.evaluate import evaluate

    return job.run(evaluate, config)


def train() -> None:
    """`python train.py`, `unlearn-train`."""
    _prepare()
    start(_train)


def run() -> None:
    """`python unlearn.py`, `unlearn-run`."""
    _prepare()
    start(_unlearn)


def evaluate() -> None:
    """`python evaluate.py`, `unlearn-evaluate`."""
    _prepare()
    start(_evaluate)


def _prepare() -> None:
    # A user's own methods and datasets lie where they start. Last, so that they hide nothing.
    sys.path.append(str(Path.cwd()))
    sys.argv[1:] = with_shipped_studies(sys.argv[1:])


def with_shipped_studies(arguments: list[str]) -> list[str]:
    """`--config-dir multirun_sweeps` means the project's own studies where there is no such folder.

    Args:
        arguments: of the command line, without the program's name.
    """
    words = [word for a in arguments for word in _option_and_value(a)]
    for at, (option, value) in enumerate(pairwise(words), start=1):
        if option in ("--config-dir", "-cd") and not Path(value).is_dir():
            own = shipped(value) if value.strip("/") == "multirun_sweeps" else None
            words[at] = str(own or value)
    return words


def _option_and_value(argument: str) -> list[str]:
    return argument.split("=", 1) if argument.startswith("--config-dir=") else [argument]
