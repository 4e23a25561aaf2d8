"""Fixtures: composed jobs, and one small problem with its references, shared by all tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf, open_dict

from unlearn.setup import Job

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"

torch.set_num_threads(1)


def options(group: str) -> list[str]:
    """Names of all files of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def compose_job(*overrides: str, program: str = "unlearn", home: Path | None = None) -> Job:
    """A job as the program would get it; its folders lie below `home`."""
    places = []
    if home is not None:
        names = ("data", "store", "runs", "report")
        places = [f"paths.{name}={home / name}" for name in names]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(program, [*overrides, *places], return_hydra_config=True)
    choices = {str(k): str(v) for k, v in config.hydra.runtime.choices.items()}
    config = OmegaConf.create(OmegaConf.to_container(config))
    with open_dict(config):
        del config["hydra"]
    return Job(config, choices, overrides)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store fills up while the tests of one worker run."""
    return tmp_path_factory.mktemp("home")
