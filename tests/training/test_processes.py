"""One model trained by two processes, as SLURM would start them, here on a CPU with gloo."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
from support.compose import ROOT, compose_job

from unlearn.errors import UserError
from unlearn.programs.unlearn import unlearn
from unlearn.storage.records import read_record

# Without batch norm and with batches of even size, a gradient is the mean of its shares' gradients.
PROBLEM = (
    "model=vit_tiny",
    "model.layers=1",
    "recipe.epochs=1",
    "method=finetune",
    "dataset.test_fraction=0.21647",  # 1,408 training images: 22 batches of 64
    "forget.fraction=null",
    "forget.count=128",
)


def test_devices_without_slurm_are_refused():
    with pytest.raises(UserError, match=r"needs as many processes made by SLURM.*tasks_per_node=2"):
        unlearn(compose_job("trainer=ddp", "trainer.accelerator=cpu"))


def test_processes_that_do_not_match_the_devices_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "3")
    monkeypatch.setenv("SLURM_JOB_NAME", "unlearn")
    with pytest.raises(UserError, match="SLURM made 3 processes"):
        unlearn(compose_job("trainer=ddp", "trainer.accelerator=cpu"))


@pytest.mark.slow
def test_two_processes_train_the_model_that_one_trains(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, str(ROOT / "unlearn.py"), *PROBLEM]
    words += ["logger=none", "trainer=ddp", "trainer.accelerator=cpu"]
    common = {
        "SLURM_JOB_NAME": "unlearn",
        "SLURM_JOB_ID": "1",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_NODEID": "0",
        "MASTER_PORT": str(port),
    }
    workers = [
        subprocess.Popen(
            words,
            cwd=tmp_path,
            env={**os.environ, **common, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        told = [worker.communicate(timeout=200) for worker in workers]
    finally:
        for worker in workers:  # one that waits for the other would wait forever
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], told
    assert "digits_vit_tiny" in told[0][0] and "digits_vit_tiny" not in told[1][0]
    [folder] = (tmp_path / "runs").glob("*/finetune-*/original0_seed0")
    together = read_record(folder)
    assert together.document["problem"]["sizes"]["retain"] == 1280

    alone_home = tmp_path / "alone"
    unlearn(compose_job(*PROBLEM, "trainer=cpu", "logger=none", "table=false", home=alone_home))
    [folder] = (alone_home / "runs").glob("*/finetune-*/original0_seed0")
    alone = read_record(folder)
    for key, value in alone.state().items():
        assert torch.allclose(together.state()[key], value, atol=1e-4), key
    assert together.document["costs"]["steps"] == alone.document["costs"]["steps"]
    assert json.dumps(together.document["problem"]) == json.dumps(alone.document["problem"])
