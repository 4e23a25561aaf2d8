"""Fixtures: a folder whose store is shared by the tests of one worker."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store fills up while the tests of one worker run."""
    return tmp_path_factory.mktemp("home")
