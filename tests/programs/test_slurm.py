"""Sweeps on a real one-node SLURM: to the end, after losses, requeued, two at once."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import slurm_node
from support.compose import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(slurm_node.missing()), reason=f"no SLURM here: {slurm_node.missing()} not installed"
    ),
]
QUICK = ("recipe.epochs=1", "trainer=cpu", "references.retrained=1")
CLUSTER = (
    "launcher=slurm",
    "logger=none",
    "hydra.launcher.mem_gb=1",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.timeout_min=10",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with slurm_node.slurm_node(tmp_path_factory.mktemp("slurm") / "node") as environment:
        yield {**environment, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def home(cluster: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reference models that `references.missing=fail` asks for."""
    folder = tmp_path_factory.mktemp("work")
    refused = sweep(cluster, folder, "method=ssd", "seed=0,1").communicate(timeout=200)[1]
    [line] = {row.split("run first  ")[1] for row in refused.splitlines() if "run first" in row}
    assert "seed=0; seed=1" in refused
    for one in line.split(" && "):
        words = [sys.executable, str(ROOT / one.split()[1]), *one.split()[2:], *QUICK]
        subprocess.run(words, cwd=folder, check=True, capture_output=True, env=cluster)
    return folder


def sweep(cluster: dict[str, str], home: Path, *overrides: str) -> "subprocess.Popen[str]":
    words = [sys.executable, str(ROOT / "unlearn.py"), *QUICK, *CLUSTER, "-m", *overrides]
    return subprocess.Popen(
        words, cwd=home, env=cluster, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def records(home: Path, method: str) -> list[Path]:
    return sorted(home.glob(f"runs/*/{method}-*/*/record.json"))


def until(done: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.3)


def queue(cluster: dict[str, str], state: str = "RUNNING") -> list[str]:
    told = subprocess.run(
        ["squeue", "-h", "-r", "-t", state, "-o", "%i"],
        env=cluster,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(told.stdout.split())


def test_six_jobs_run_to_the_end_and_the_cancelled_and_the_killed_are_completed(cluster, home):
    six = ("method=ssd,finetune", "seed=0,1,2")
    running = sweep(cluster, home, *six, "hydra.launcher.array_parallelism=2")
    until(lambda: len(queue(cluster)) == 2)
    # The last of the array still waits: cancelled there. One that runs is killed outright.
    until(lambda: queue(cluster, "PENDING"))
    [cancelled] = [job for job in queue(cluster, "PENDING") if job.endswith("_5")]
    subprocess.run(["scancel", cancelled], env=cluster, check=True)
    killed = queue(cluster)[0]
    subprocess.run(["scancel", "--signal=KILL", "--full", killed], env=cluster, check=True)
    told = running.communicate(timeout=300)[1]
    assert running.returncode == 1, told
    assert "4 of 6 done, 2 failed" in told and told.count("SLURM job") >= 2
    done = {path: path.stat().st_mtime_ns for path in home.glob("runs/*/*/*/record.json")}
    assert len(done) == 4

    again = sweep(cluster, home, *six)
    told = again.communicate(timeout=300)[1]
    assert again.returncode == 0, told
    assert "2 of 6 done, 4 skipped" in told
    assert len(records(home, "ssd")) == len(records(home, "finetune")) == 3
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())


def test_preempted_jobs_are_requeued_and_finish(cluster, home):
    before = len(list(home.glob("runs/sweeps/unlearn/*/jobs/*.json")))
    running = sweep(cluster, home, "method=finetune", "method.epochs=150", "seed=7,8")
    until(lambda: len(list(home.glob("runs/sweeps/unlearn/*/jobs/*.json"))) == before + 2)
    by_slurm, by_notice = queue(cluster)
    # SLURM takes one job's node away; the other gets the notice that SLURM sends beforehand.
    subprocess.run(["scontrol", "requeue", by_slurm], env=cluster, check=True)
    subprocess.run(["scancel", "--signal=USR2", by_notice], env=cluster, check=True)
    until(lambda: queue(cluster, "PENDING") == [by_slurm, by_notice])
    for job in (by_slurm, by_notice):
        # SLURM holds requeued jobs back for a while; the test does not wait for it.
        subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], env=cluster)
    told = running.communicate(timeout=300)[1]
    assert running.returncode == 0, told
    assert "2 of 2 done" in told
    for job in (by_slurm, by_notice):
        shown = subprocess.run(
            ["scontrol", "-o", "show", "job", job], env=cluster, capture_output=True, text=True
        )
        assert "Restarts=1" in shown.stdout


def test_two_sweeps_share_references_and_train_them_once(cluster, home, tmp_path):
    allowed = ("references.missing=train", "method=ssd", "original_seed=0", "seed=0,1")
    both = [sweep(cluster, tmp_path, *allowed, f"method.dampening={value}") for value in (1.0, 0.5)]
    for one in both:
        told = one.communicate(timeout=300)[1]
        assert one.returncode == 0, told
    assert len(records(tmp_path, "ssd")) == 4
    logs = "".join(file.read_text() for file in tmp_path.glob("runs/sweeps/**/*.err"))
    assert logs.count("training the original model") == 1
    assert logs.count("training the retrained model") == 1


def test_a_training_that_runs_out_of_time_goes_on_to_the_same_bits(cluster, home, tmp_path):
    """One undisturbed run here, and one that gets the notice SLURM gives before a limit."""
    long = ("method=finetune", "method.epochs=800", "seed=9")
    checkpoints = "trainer.checkpoint_minutes=0.005"
    alone = [sys.executable, str(ROOT / "unlearn.py"), *QUICK, *long, "logger=none", checkpoints]
    alone.append(f"paths.runs={tmp_path}")
    calm = subprocess.run(alone, cwd=home, env=cluster, stderr=subprocess.PIPE, text=True)
    assert calm.returncode == 0, calm.stderr
    running = sweep(cluster, home, *long, checkpoints)
    until(lambda: list(home.glob("store/.checkpoints/*/[2-9]")))
    [job] = queue(cluster)
    subprocess.run(["scancel", "--signal=USR2", job], env=cluster, check=True)
    until(lambda: queue(cluster, "PENDING") == [job])
    # SLURM holds requeued jobs back for a while; the test does not wait for it.
    subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], env=cluster)
    told = running.communicate()[1]
    assert running.returncode == 0, told
    assert "1 of 1 done" in told
    logs = "".join(file.read_text() for file in home.glob("runs/sweeps/**/*.err"))
    assert "going on from step" in logs
    [there] = home.glob("runs/*/finetune-*/original0_seed9")
    [here] = tmp_path.glob("*/finetune-*/original0_seed9")
    for stem in ("model", "outputs"):
        ours, theirs = (load_file(place / f"{stem}.safetensors") for place in (here, there))
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
